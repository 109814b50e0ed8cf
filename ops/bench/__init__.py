"""`refrain bench`: one module or folder a bench; `command` is the door."""
