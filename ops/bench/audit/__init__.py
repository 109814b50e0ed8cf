"""`refrain bench audit`: how fast a recorded journal is audited, and folded under another policy."""
