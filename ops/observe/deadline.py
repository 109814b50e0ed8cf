"""The moment until which the doctor waits for its checks: whatever is away then is told, and not waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A moment by the monotonic clock. `clock` and `wait` are for tests: what time it is, and a wait for an event."""

    until_s: float
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait

    @property
    def left_s(self) -> float:
        """How long it is until then (seconds), 0 when it has passed."""
        return max(0.0, self.until_s - self.clock())

    def within(self, seconds: float) -> Deadline:
        """The deadline of a part: so long from now on, and not beyond this one."""
        return Deadline(min(self.until_s, self.clock() + seconds), self.clock, self.wait)

    def before(self, seconds: float) -> Deadline:
        """A deadline that is `seconds` earlier: that time is left to report the result."""
        return Deadline(self.until_s - seconds, self.clock, self.wait)

    def sees(self, event: threading.Event) -> bool:
        """Wait for an event; whether it came in time."""
        return self.wait(event, self.left_s)
