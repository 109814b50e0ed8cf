"""`refrain dead-letters`: what could not be taken, by reason and place; texts on demand alone."""
