"""`refrain explain`, `refrain served` and `refrain history`: why something was served, from what, and by whose order."""
