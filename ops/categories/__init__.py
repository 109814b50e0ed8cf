"""`refrain categories`: training and testing of the category classifier."""
