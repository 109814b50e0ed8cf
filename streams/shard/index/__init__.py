"""Indexes of entries: by id and text (`entries`), by vector (`vector_tables` over `slab` and `hnsw`)."""
