"""Finding entries: by id and text (`entries`), by meaning (`vector_tables` over `slab` and `hnsw`)."""
