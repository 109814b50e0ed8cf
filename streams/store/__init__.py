"""The local store of a shard: the interface, RocksDB, memory, and the locked state directory."""
