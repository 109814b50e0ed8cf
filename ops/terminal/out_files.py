"""Files that a command writes: what is wrong with their names is told before the work, not after it."""

from __future__ import annotations

import os
from pathlib import Path

from refrain.streams.errors import FileUnwritable


def check_writable(path: Path | None) -> None:
    """Raises FileUnwritable for a file that could not be written; None is no file at all.

    It may be a folder, stand in one that is not there or takes none, or be for others to write.
    """
    if path is None:
        return
    if path.is_dir():
        raise FileUnwritable(f"{path} is a folder: name a file")
    check_folder(path)
    if path.exists() and not os.access(path, os.W_OK):
        raise FileUnwritable(f"{path} cannot be written: it is not for this user to write; name another file")


def check_free(path: Path, why: str) -> None:
    """Raises FileUnwritable for a file that is there already, with `why` it stays, or that could not be written."""
    if path.is_dir():
        raise FileUnwritable(f"{path} is a folder: name a file")
    if path.exists() or path.is_symlink():
        raise FileUnwritable(f"{path} exists: {why}")
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raises FileUnwritable where the folder of a file is not there, or takes no file."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileUnwritable(f"{path} cannot be written: {path.parent} is no folder; name a file in one that is there")
    if not path.exists() and not os.access(folder, os.W_OK | os.X_OK):
        raise FileUnwritable(f"{path} cannot be written: {path.parent} takes no file of this user; name another")


def is_folder_or_may_be(path: Path) -> bool:
    """Whether a folder stands there, or nothing that keeps one from being made: no file, and no link to nowhere."""
    for each in (path, *path.absolute().parents):
        if each.is_dir():
            return True
        if os.path.lexists(each):
            return False
    return True
