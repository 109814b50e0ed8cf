"""`refrain snapshot` and `refrain snapshots`: make snapshots of shards, list and verify them."""
