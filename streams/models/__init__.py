"""All that loads weights: files, backends, embedders, verifiers, the category classifier."""
