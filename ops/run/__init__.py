"""`refrain run`: one worker, the supervisor, the lifeline, their logs."""
