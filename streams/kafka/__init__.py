"""Kafka as processors see it: the interface, the real cluster, and its in-memory twin."""
