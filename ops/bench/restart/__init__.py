"""`refrain bench restart`: how long lookup workers take until all shards answer, from a snapshot and without one."""
