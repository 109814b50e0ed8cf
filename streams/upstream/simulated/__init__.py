"""The simulated model, and its HTTP server for tests and benches."""
