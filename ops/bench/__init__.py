"""`refrain bench`: one module or folder a bench."""
