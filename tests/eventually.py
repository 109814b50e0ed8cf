"""Waits for what other threads and processes bring about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WAIT_S = 60.0
LOOK_S = 0.02


def eventually(true: Callable[[], object], wait_s: float = WAIT_S) -> None:
    """Wait until something holds; look often, since nobody tells."""
    until_s = time.monotonic() + wait_s
    pause = threading.Event()
    while not true():
        assert time.monotonic() < until_s, "it did not come about"
        pause.wait(LOOK_S)
