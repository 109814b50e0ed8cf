"""Files in which processes tell of themselves: run.json of a supervisor, and one a worker in `health/`."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refrain.streams.errors import StoreUnusable, WrongSetup

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

RUN_FILE = "run.json"
HEALTH = "health"
PROBE_BYTES = 4_096
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def whose(settings: Settings) -> dict[str, str]:
    """The service that a worker belongs to: broker and prefix, as the state folder's files name them."""
    return {"kafka": settings.kafka, "prefix": settings.prefix}


def require_writable(state_dir: Path) -> None:
    """Check that a process can write there. Raises WrongSetup, and StoreUnusable where the disk is full."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=state_dir, prefix=".writable-") as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
    except OSError as problem:
        what = f"the state folder {state_dir} cannot be written: {problem.strerror}"
        if problem.errno in FULL:
            raise StoreUnusable(f"{what}: make room there, and start again") from problem
        raise WrongSetup(
            f"{what}: set state_dir (REFRAIN_STATE_DIR) to a folder that this user may write, or let it"
        ) from problem


def write_whole(path: Path, value: object) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(value) + "\n", encoding="utf-8")
    os.replace(beside, path)


def read_workers(state_dir: Path) -> list[dict[str, Any]]:
    """What the workers of this state folder publish of themselves in `health/`, also those that no supervisor runs."""
    found = (read_object(path) for path in sorted((state_dir / HEALTH).glob("[!.]*.json")))
    return [told for told in found if told is not None and isinstance(told.get("pid"), int)]


def read_run(state_dir: Path) -> dict[str, Any] | None:
    """Read run.json, None when no supervisor wrote one."""
    return read_object(state_dir / RUN_FILE)


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object of a file; None where there is no file, or something else in it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def health_path(state_dir: Path, name: str, pid: int | None) -> Path:
    """The file of a worker: its name and the id of its process."""
    return state_dir / HEALTH / f"{name}-{pid}.json"
