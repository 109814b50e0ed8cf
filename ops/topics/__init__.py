"""`refrain topics`."""
