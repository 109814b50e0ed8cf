"""`refrain ask`, with the client and the reader of questions."""
