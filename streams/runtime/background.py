"""Background threads of a worker: one that works until its end, and one that loads what takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

BEAT_S = 1.0
"""How often a worker shows that it lives while it loads."""


class BackgroundThread:
    """A thread that runs `work` and does not outlive the process; what `work` raises is kept in `problem`."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.problem: Exception | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the work is still running."""
        return self._thread.is_alive()

    def join(self, wait_s: float) -> None:
        """Wait for the end of the work, at most `wait_s`."""
        self._thread.join(wait_s)

    def _run(self) -> None:
        try:
            self._work()
        except Exception as problem:  # noqa: BLE001 - nothing is swallowed: the worker raises it again
            self.problem = problem


def load_in_background(load: Callable[[], T], alive: Callable[[], object], beat_s: float = BEAT_S) -> T:
    """Load on a thread of its own; `alive` is called on this thread meanwhile, so that no main loop falls silent.

    Returns what `load` returns and raises what it raises.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="load") as pool:
        loading = pool.submit(load)
        while not wait([loading], timeout=beat_s).done:
            alive()
        return loading.result()
