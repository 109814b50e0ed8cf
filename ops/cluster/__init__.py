"""Cluster access of the commands: connection, lag, scan and tail of topics."""
