"""Second opinions on whether two questions ask the same."""
