"""`refrain whatif`: folds the recorded journal under other policies, and compares what comes of it."""
