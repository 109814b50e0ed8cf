"""`refrain run`: worker processes, their supervisor, lifeline and logs."""
