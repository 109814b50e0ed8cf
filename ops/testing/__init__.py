"""Refrain in the integration tests of others: `RefrainContainer`, for testcontainers (the extra `testing`)."""
