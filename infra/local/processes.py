"""Child processes of infra: ended by their id, however the parent ends."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from infra.local.jar_broker import stop


@contextmanager
def child(
    command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends; its output goes to `output` or where ours goes.

    It stands in a session of its own: Ctrl-C at the terminal reaches us alone, and we end it in order. Its standard
    input ends when we do, however that comes: `refrain run --supervised` stops then.
    """
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        stop(process)
        if process.stdin is not None:
            process.stdin.close()


def run(command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None = None) -> int:
    """Run a command to its end; its exit code."""
    with child(command, environment, output) as process:
        return process.wait()
