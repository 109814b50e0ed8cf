"""Search: whether a question is answered from the cache. Reads only."""
