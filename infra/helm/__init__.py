"""Helm chart of Refrain, and what it takes from the table of topics."""
