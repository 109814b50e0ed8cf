"""Where the command `refrain` begins: whoever interrupts it while it is still loading gets no traceback."""

from __future__ import annotations

INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, as shells have it (128 and the signal's number)."""


def main() -> int:
    """Run the command line; returns its exit code."""
    try:
        from refrain.ops.cli import main as run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
