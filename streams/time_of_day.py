"""The time of day. What folds, decides or steps never reads it: it is given to them."""

from __future__ import annotations

import time


def now_ms() -> int:
    """The time of day, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
