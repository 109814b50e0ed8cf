"""Models, and all that loads weights: files, backends, embedders, verifiers, the category classifier."""
