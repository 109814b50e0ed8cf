"""`refrain policies`: commands, policy files, diffs and history."""
