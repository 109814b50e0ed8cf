"""Eviction and expiry: quotas, usage columns, GDSF value, expiry queues. Data structures under the index."""
