"""Log files of child processes: appended to, and rotated while they are written; their owner alone may read them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from refrain.streams.store.private import private_opener

BYTES_MAX = 10_000_000
"""Of a file, before it is put aside as NAME.1, and that as NAME.2."""
KEPT = 5
"""Files that are put aside."""
CHUNK = 65_536
END_S = 5.0


@contextmanager
def log_file(path: Path, bytes_max: int = BYTES_MAX) -> Iterator[IO[bytes]]:
    """What a child process may have as its output: all that it writes is appended to `path`, rotated by lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # So that there is a file to look into from the start.
    open(path, "ab", opener=private_opener).close()
    source, sink = os.pipe()
    thread = threading.Thread(target=_pump, args=(source, path, bytes_max), name=f"log {path.name}", daemon=True)
    thread.start()
    try:
        with os.fdopen(sink, "wb", buffering=0) as output:
            yield output
    finally:
        # It ends when nobody can write any more; a child that outlives us must not hold us up.
        thread.join(END_S)


def rotate(path: Path) -> None:
    """Put a log file aside, and those before it; the oldest goes."""
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))


def _pump(source: int, path: Path, bytes_max: int) -> None:
    with os.fdopen(source, "rb", buffering=0) as lines:
        while True:
            if path.exists() and path.stat().st_size >= bytes_max:
                rotate(path)
            with open(path, "ab", opener=private_opener) as log:
                if not _fill(lines, log, bytes_max):
                    return


def _fill(source: IO[bytes], log: IO[bytes], bytes_max: int) -> bool:
    """Write what comes until the log is full and a line is; false when nothing comes any more."""
    while data := source.read(CHUNK):
        log.write(data)
        log.flush()
        if log.tell() >= bytes_max and data.endswith(b"\n"):
            return True
    return False
