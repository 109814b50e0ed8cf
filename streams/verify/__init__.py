"""verify: scores by a cross encoder whether two questions ask the same."""
