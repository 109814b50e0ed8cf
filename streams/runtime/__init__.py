"""The shell of stateless processors: loop, policy session and follower, health, background threads."""
