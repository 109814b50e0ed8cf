"""A period: says when something that is done now and then is due again."""

from __future__ import annotations

import time
from collections.abc import Callable


class Every:
    """Period of `period_s` seconds, due at once for the first time. `clock` gives seconds."""

    def __init__(self, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period_s = period_s
        self._clock = clock
        self._due_s = clock()

    def is_due(self) -> bool:
        """Whether the period is over; then the next one begins."""
        now_s = self._clock()
        if now_s < self._due_s:
            return False
        self._due_s = now_s + self._period_s
        return True
