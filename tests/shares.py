"""How the tests are shared out: among how many workers, in which order, and which files the fault runs need. Pure.

A worker takes file by file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

WORKERS_MAX = 4
WORKER_BYTES = 2 << 30
"""What a worker may come to, with its models and its broker."""
FAULT_RUN = b"mark.simulation"


def workers(cores: int, memory_bytes: int) -> int:
    """How many workers `-n auto` starts on a machine: one more than cores, since what meets a broker mostly waits."""
    return max(1, min(WORKERS_MAX, cores + 1, memory_bytes // WORKER_BYTES))


def in_order(items: Sequence[pytest.Item], waiting: Collection[Path]) -> list[pytest.Item]:
    """The files that wait first, so that none of them is the last, then those of many tests before those of few."""
    sizes = Counter(item.path for item in items)
    places = {path: place for place, path in enumerate(sizes)}
    return sorted(items, key=lambda item: (item.path not in waiting, -sizes[item.path], places[item.path]))


def may_hold_fault_runs(path: Path) -> bool:
    """Whether a file names the marker. To import all the others takes longer than a short run."""
    return FAULT_RUN in path.read_bytes()
