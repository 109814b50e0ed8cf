"""Control commands: sent to `control`, and awaited until in force."""
