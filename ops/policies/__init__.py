"""`refrain policies`."""
