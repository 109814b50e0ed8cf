"""`infra/bench`: one bench of `refrain bench` against a fresh broker. Standard output is the bench's alone."""

from __future__ import annotations

import os
import sys
import tempfile

from infra.local.broker import LOCAL, broker, exit_with
from infra.local.processes import run


def main(arguments: list[str]) -> int:
    """Run the bench with these arguments; its exit code."""
    with broker(is_measured=True) as bootstrap, tempfile.TemporaryDirectory(prefix="bench-", dir=LOCAL) as folder:
        environment = {**os.environ, "REFRAIN_KAFKA": bootstrap, "REFRAIN_STATE_DIR": f"{folder}/state"}
        return run([sys.executable, "-m", "refrain.ops.cli", "bench", *arguments], environment)


if __name__ == "__main__":
    exit_with(main)
