"""Data files of pairs and questions, their vectors, and exact confidence intervals."""
