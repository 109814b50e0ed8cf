"""A model that is none, and its HTTP server."""
