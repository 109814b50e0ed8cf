"""Reads points of a log from the command line: an offset, or a moment."""

from __future__ import annotations

from typing import NamedTuple

from refrain.ops.terminal.durations import read_since_ms
from refrain.ops.terminal.options import read_option
from refrain.streams import time_of_day
from refrain.streams.errors import WrongValue

OFFSET_DIGITS_MAX = 18


class Point(NamedTuple):
    """A point of a log: before the record at `offset`, or before the first that is stamped `time_ms` or later."""

    text: str
    """The text that the user gave."""
    offset: int | None = None
    time_ms: int | None = None
    option: str | None = None
    """The one that it was given to."""

    def is_reached(self, offset: int, time_ms: int) -> bool:
        """Whether the record at that offset, when the log's time is `time_ms`, lies at the point or behind it."""
        if self.offset is not None:
            return offset >= self.offset
        return self.time_ms is not None and time_ms >= self.time_ms


def check_order(first: Point | None, last: Point | None) -> None:
    """Raises WrongValue for a first point that lies behind the last one, as far as one can tell."""
    if first is None or last is None:
        return
    for one, other in ((first.offset, last.offset), (first.time_ms, last.time_ms)):
        if one is not None and other is not None and one > other:
            raise WrongValue(f"{first.text} lies behind {last.option}, which is {last.text}", first.option)


def point_of(text: str | None, option: str) -> Point | None:
    """The point of an option, None where it was not given. Raises typer.BadParameter for what is none."""
    found = read_option(read_point, text, option)
    return None if found is None else found._replace(option=option)


def read_point(text: str) -> Point:
    """The point of a text: digits are an offset, all else an ISO 8601 moment or a span back. Raises ValueError."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        if len(text) > OFFSET_DIGITS_MAX:
            raise ValueError(f"{text} is no offset: it has at most {OFFSET_DIGITS_MAX} digits")
        return Point(text, offset=int(text))
    try:
        return Point(text, time_ms=read_since_ms(text, time_of_day.now_ms()))
    except ValueError as wrong:
        raise ValueError(f"{wrong}, or an offset (digits alone)") from wrong
