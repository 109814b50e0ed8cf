"""A worker's own folder under the state folder: one process holds it, and the next one goes on with it.

Several workers may share a state folder; each takes the first folder that nobody holds. The folder remembers
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

SLOTS_MAX = 256


@dataclass
class StateDirectory:
    """A folder that this process holds until it ends."""

    path: Path
    name: str
    lock: TextIO

    def folder(self, incarnation: str) -> Path:
        """The folder for one incarnation of the topics; those of others are deleted."""
        wanted = self.path / incarnation
        for other in self.path.iterdir():
            if other.is_dir() and other != wanted:
                shutil.rmtree(other)
        wanted.mkdir(exist_ok=True)
        return wanted

    def release(self) -> None:
        """Let another process have the folder."""
        self.lock.close()


def lock_state_directory(state_dir: Path) -> StateDirectory:
    """Hold the first free folder. Raises WrongSetup when the state folder cannot be written."""
    for number in range(SLOTS_MAX):
        path = state_dir / f"lookup-{number}"
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = (path / "lock").open("a+")
        except OSError as error:
            raise WrongSetup(f"state_dir {state_dir} cannot be written: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        lock.seek(0)
        name = lock.read().strip()
        if not name:
            name = uuid.uuid4().hex[:12]
            lock.write(name)
            lock.flush()
        return StateDirectory(path, name, lock)
    raise WrongSetup(f"{SLOTS_MAX} workers hold folders in {state_dir}: give this one another state_dir")
