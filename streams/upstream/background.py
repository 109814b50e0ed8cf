"""A thread that a worker keeps, and whose failure becomes the worker's."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Runs `work` in a thread that does not outlive the process. What it raises is kept in `problem`."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.problem: Exception | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the work goes on."""
        return self._thread.is_alive()

    def join(self, wait_s: float) -> None:
        """Wait for the end of the work."""
        self._thread.join(wait_s)

    def _run(self) -> None:
        try:
            self._work()
        except Exception as problem:  # noqa: BLE001 - nothing is swallowed: the worker raises it again
            self.problem = problem
