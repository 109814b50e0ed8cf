"""The command `refrain`: everything people and scripts do with the service.

A folder a command family, with `command` as its door where it has one command. Reading order: `cli` (the command and
its exit codes), `config`, `run`, `ask`, `control`, `topics`, `policies`, `observe`.
"""

import time

STARTED_S = time.monotonic()
"""When loading began, by the monotonic clock (seconds): what it takes counts as a command's time too."""
