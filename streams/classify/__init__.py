"""classify: the entrance of requests; parse, route, frame, identify, then ask the shard or bypass it."""
