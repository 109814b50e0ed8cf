"""Demo: its script, its run, and the check that no text leaked."""
