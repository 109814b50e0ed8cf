"""Files of pairs and questions, their vectors, and exact intervals."""
