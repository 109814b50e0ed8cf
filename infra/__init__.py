"""Local infrastructure: runs broker, service, demo, benches and fault runs on this machine. Not installed."""
