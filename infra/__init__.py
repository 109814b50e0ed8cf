"""Running Refrain on this machine: broker, service, demo, benches, faults. Not installed."""
