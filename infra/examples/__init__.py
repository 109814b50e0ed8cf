"""Programs to copy: they need `confluent-kafka` and nothing of Refrain's."""
