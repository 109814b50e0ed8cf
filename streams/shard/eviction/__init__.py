"""The data structures by which entries leave: quotas, usage, value, expiry queues."""
