"""Private files: what a worker writes holds texts of users, and its owner alone may read it."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

OTHERS = 0o077
"""What group and others may do, in a file's mode."""
_READ, _ENTERED = 0o044, 0o011


def keep_private() -> None:
    """Let the owner alone read whatever this process makes from now on, libraries and children included."""
    os.umask(os.umask(OTHERS) | OTHERS)


def make_private(folder: Path) -> None:
    """Make a folder, and take from group and others what they may do with it and with all in it.

    Raises PermissionError for what belongs to somebody else.
    """
    folder.mkdir(mode=0o777 & ~OTHERS, parents=True, exist_ok=True)
    for path, mode in _open_to_others(folder, lambda folder_mode: True):
        path.chmod(mode & ~OTHERS)


def exposed(folder: Path) -> Path | None:
    """The first file of a folder that group or others may read, and reach; None where there is none."""
    found = _open_to_others(folder, lambda folder_mode: bool(folder_mode & _ENTERED))
    return next((path for path, mode in found if mode & _READ and path.is_file()), None)


def private_opener(path: str, flags: int) -> int:
    """Open a file, for the `opener` of `open`; a new one is its owner's alone."""
    return os.open(path, flags, 0o666 & ~OTHERS)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file, its owner's alone, that takes the place of `path` when the block ends without an error.

    Nothing is left of it else. Raises OSError.
    """
    number, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        Path(beside).unlink(missing_ok=True)


def _open_to_others(folder: Path, is_entered: Callable[[int], bool]) -> Iterator[tuple[Path, int]]:
    """A folder and all in it that others may do something with, and its mode; of folders those that are entered."""
    mode = _mode(folder)
    if not stat.S_ISDIR(mode) or not is_entered(mode):
        return
    if mode & OTHERS:
        yield folder, stat.S_IMODE(mode)
    for path in sorted(folder.iterdir()):
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            yield from _open_to_others(path, is_entered)
        elif stat.S_ISREG(mode) and mode & OTHERS:
            yield path, stat.S_IMODE(mode)


def _mode(path: Path) -> int:
    """The mode of a path, not followed where it is a link; 0 where it is gone by now."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0
