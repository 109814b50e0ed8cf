"""Folds the recorded journal again, to a point: into topics of another prefix, or to show what was known then."""
