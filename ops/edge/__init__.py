"""`refrain edge`: the keys by which applications are let in."""
