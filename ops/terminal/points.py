"""Reads points of a log from the command line: an offset, or a moment."""

from __future__ import annotations

from typing import NamedTuple

from refrain.ops.terminal.durations import read_moment_ms

OFFSET_DIGITS_MAX = 18


class Point(NamedTuple):
    """A point of a log: before the record at `offset`, or before the first that is stamped `time_ms` or later."""

    text: str
    """As it was given."""
    offset: int | None = None
    time_ms: int | None = None

    def is_reached(self, offset: int, time_ms: int) -> bool:
        """Whether the record at that offset, when the log's time is `time_ms`, lies at the point or behind it."""
        if self.offset is not None:
            return offset >= self.offset
        return self.time_ms is not None and time_ms >= self.time_ms


def read_point(text: str) -> Point:
    """The point of a text: digits are an offset, all else an ISO 8601 moment. Raises ValueError."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        if len(text) > OFFSET_DIGITS_MAX:
            raise ValueError(f"{text} is no offset: it has at most {OFFSET_DIGITS_MAX} digits")
        return Point(text, offset=int(text))
    try:
        return Point(text, time_ms=read_moment_ms(text))
    except ValueError as wrong:
        raise ValueError(f"{wrong}, or an offset (digits alone)") from wrong
