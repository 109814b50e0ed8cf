"""Refrain's stream processors and the shard. Nothing here reads the environment or the clock by itself."""
