"""All that sends a command to `control` and waits until it is in force."""
