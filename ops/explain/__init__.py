"""`refrain explain`, `refrain served` and `refrain history`: why something was served, from what, by whose order."""
