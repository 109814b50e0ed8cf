"""Traces: spans of a request's way through Refrain, and the context that goes with its records."""
