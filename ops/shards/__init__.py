"""`refrain shards`: which shards are stopped, why, and how one goes on."""
