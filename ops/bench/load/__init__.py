"""`refrain bench load`: a model driven over its capacity, in virtual time."""
