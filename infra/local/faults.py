"""`infra/faults`: the seeded fault run against a fresh broker, or with `--brokers` faults of brokers themselves.

Standard output is the run's alone.
"""

from __future__ import annotations

import os
import sys

from infra.local import broker_faults
from infra.local.broker import broker, exit_with
from infra.local.processes import run


def main(arguments: list[str]) -> int:
    """Run it with these arguments; its exit code."""
    if any(each.partition("=")[0] == "--brokers" for each in arguments):
        return broker_faults.main(arguments)
    with broker() as bootstrap:
        return run([sys.executable, "-m", "tests.simulation", *arguments], {**os.environ, "REFRAIN_KAFKA": bootstrap})


if __name__ == "__main__":
    exit_with(main)
