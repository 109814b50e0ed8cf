"""`refrain bench streams`: the endpoint with thousands of open streams."""
