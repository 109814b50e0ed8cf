"""The command `refrain`: everything people and scripts do with the service.

Reading order: `cli` (the command and its exit codes), `settings`, `run` and `supervisor`, `client` and `ask`,
`topics`, `policies`, `watch`, `doctor`.
"""
