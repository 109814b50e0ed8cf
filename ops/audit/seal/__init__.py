"""Proof that a log is the one that was: seals of journal, control and decisions, and the comparison with them."""
