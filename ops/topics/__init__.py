"""`refrain topics`: create, list and check topics; print ACLs."""
