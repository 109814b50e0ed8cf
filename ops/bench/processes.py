"""Processes of a bench: ended by their ids, whatever happens to the bench."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from refrain.streams.errors import WrongSetup

STOP_S = 20.0
"""How long a process may take to stop by itself."""


@contextmanager
def child(
    command: Sequence[str], environment: Mapping[str, str], output: int | IO[bytes], folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in `folder` until the block ends; its errors go where its output goes, unless that is a pipe.

    It leads a group of processes of its own: Ctrl-C at the terminal does not reach it, and where it does not stop all
    that it has started ends with it. Its standard input ends when we do, however that comes. Raises WrongSetup when
    the command cannot be run.
    """
    try:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=None if output == subprocess.PIPE else subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as problem:
        raise WrongSetup(f"{command[0]} cannot be run: {problem.strerror}") from problem
    with process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
