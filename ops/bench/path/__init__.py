"""`refrain bench path`: latency and throughput beside an echo."""
