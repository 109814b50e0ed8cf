"""A time of day that can be set: each Python process with this folder on its path adds the seconds that a file holds.

For `infra/faults`, which sets the clocks of workers and of nothing else. What measures spans goes on evenly, as it does
when the clock of a machine is set.
"""

from __future__ import annotations

import os
import time

CHECK_S = 0.2
"""How often the file is looked at."""


class SetClock:
    """The time of day, moved by as many seconds as the file says."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._time_ns, self._elapsed_s = time.time_ns, time.monotonic
        self._by_ns = 0
        self._due_s = 0.0

    def time_ns(self) -> int:
        """In place of `time.time_ns`."""
        now_s = self._elapsed_s()
        if now_s >= self._due_s:
            self._due_s = now_s + CHECK_S
            with open(self._path, encoding="ascii") as file:
                self._by_ns = int(file.read()) * 1_000_000_000
        return self._time_ns() + self._by_ns

    def time(self) -> float:
        """In place of `time.time`."""
        return self.time_ns() / 1e9


if "FAULTS_CLOCK_FILE" in os.environ:
    _clock = SetClock(os.environ["FAULTS_CLOCK_FILE"])
    time.time, time.time_ns = _clock.time, _clock.time_ns
