"""Learning from one's own traffic: `refrain hits`."""
