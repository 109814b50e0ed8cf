"""`infra/faults`: the seeded fault run against a fresh broker. Standard output is the run's alone."""

from __future__ import annotations

import os
import sys

from infra.local.broker import broker, exit_with
from infra.local.processes import run


def main(arguments: list[str]) -> int:
    """Run it with these arguments; its exit code."""
    with broker() as bootstrap:
        return run([sys.executable, "-m", "tests.simulation", *arguments], {**os.environ, "REFRAIN_KAFKA": bootstrap})


if __name__ == "__main__":
    exit_with(main)
