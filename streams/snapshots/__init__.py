"""Snapshots: the state of a shard at a place of its logs, from which restores and audits begin."""
