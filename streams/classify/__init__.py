"""The entrance: parse, route, frame, identify; ask the shard or bypass it."""
