"""govern: commands of operators and of adapt, written to every shard in one transaction."""
