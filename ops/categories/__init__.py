"""`refrain categories`."""
