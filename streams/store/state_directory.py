"""The state directory of a worker: locked by one process at a time, and found again by the next one.

Several workers may share `state_dir`; each locks the first directory in it that is free. The directory remembers
the worker's name, so that a restart fences what its predecessor left open.
"""

from __future__ import annotations

import fcntl
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from refrain.streams.errors import WrongSetup
from refrain.streams.store.private import make_private

DIRECTORIES_MAX = 256


@dataclass
class StateDirectory:
    """A locked directory of this process, with the worker's name in it."""

    path: Path
    name: str
    lock: TextIO

    def folder(self, incarnation: str) -> Path:
        """The folder for one incarnation of the topics; those of other incarnations are deleted."""
        wanted = self.path / incarnation
        for other in self.path.iterdir():
            if other.is_dir() and other != wanted:
                shutil.rmtree(other)
        wanted.mkdir(exist_ok=True)
        return wanted

    def release(self) -> None:
        """Unlock the directory for other processes."""
        self.lock.close()


def _take(path: Path, state_dir: Path) -> None:
    """Take what is in a locked directory for this user alone: the stores in it hold texts."""
    try:
        make_private(path)
    except PermissionError as error:
        raise WrongSetup(f"state_dir {state_dir} holds {path.name} of another user: give this one its own") from error


def lock_state_directory(state_dir: Path) -> StateDirectory:
    """Lock the first free directory. Raises WrongSetup when `state_dir` cannot be written."""
    for number in range(DIRECTORIES_MAX):
        path = state_dir / f"lookup-{number}"
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (path / "lock").open("a+")
        except OSError as error:
            raise WrongSetup(f"state_dir {state_dir} cannot be written: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _take(path, state_dir)
        lock.seek(0)
        name = lock.read().strip()
        if not name:
            name = uuid.uuid4().hex[:12]
            lock.write(name)
            lock.flush()
        return StateDirectory(path, name, lock)
    raise WrongSetup(f"{DIRECTORIES_MAX} workers hold directories in {state_dir}: give this one another state_dir")
