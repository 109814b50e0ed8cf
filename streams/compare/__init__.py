"""Answers of the cache beside those of the model."""
