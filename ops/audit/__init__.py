"""`refrain audit`: folds the journal again and compares what comes of it with what was published."""
