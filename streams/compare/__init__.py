"""compare: answers of the cache compared with those of the model."""
