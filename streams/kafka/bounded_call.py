"""Calls of the client that are left behind when they do not come back, though they were given a timeout."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any


class StuckCall(Exception):
    """A call did not come back in time. Its thread stays behind; the client that it belongs to is to be replaced."""


def bounded(call: Callable[[], Any], within_s: float) -> None:
    """Make the call on a thread of its own and wait for its end. Raises what it raises, or StuckCall."""
    ended: SimpleQueue[Exception | None] = SimpleQueue()

    def work() -> None:
        try:
            call()
        except Exception as problem:  # noqa: BLE001 - nothing is swallowed: whoever waits raises it again
            ended.put(problem)
        else:
            ended.put(None)

    threading.Thread(target=work, name="call", daemon=True).start()
    try:
        problem = ended.get(timeout=within_s)
    except Empty:
        raise StuckCall(f"the client did not come back within {within_s:.0f} s") from None
    if problem is not None:
        raise problem
