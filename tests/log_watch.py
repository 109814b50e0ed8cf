"""Watches the logs of Refrain while a test runs: no line may hold text of a record that the test made or read.

Whatever a test sends is a `Record` sooner or later, also what cannot be read. What is looked for are the longer pieces
of text in its value and headers: runs of letters with a space, so that ids, names of topics and codes do not count.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from refrain.ops.run.logs import OneLine
from refrain.streams.kafka.interface import Record

RECORDS_MAX = 20_000
"""Records of one test that are looked through, the last ones."""
PIECE_CHARS_MIN = 10
_PIECE = re.compile(rf"[^\"'{{}}\[\]\\,:\x00-\x1f]{{{PIECE_CHARS_MIN},}}")
_LOGGER = logging.getLogger("refrain")


class LogWatch(logging.Handler):
    """The lines that were logged and the records that were made since it was begun."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(OneLine("test"))
        self.lines: list[str] = []
        self.values: deque[bytes] = deque(maxlen=RECORDS_MAX)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def leaks(self) -> list[str]:
        """Lines that hold a piece of text of a record."""
        if not self.lines:
            return []
        pieces = {piece for value in self.values for piece in pieces_of(value)}
        return [line for line in self.lines if any(piece in line for piece in pieces)]


def pieces_of(value: bytes) -> Iterator[str]:
    """The pieces of text in what a record holds, as UTF-8 or UTF-16."""
    for encoding in ("utf-8", "utf-16-le") if b"\0" in value else ("utf-8",):
        for found in _PIECE.findall(value.decode(encoding, "replace")):
            if " " in (piece := found.strip()) and len(piece) >= PIECE_CHARS_MIN:
                yield piece


@contextmanager
def watched_logs() -> Iterator[LogWatch]:
    """Watch the logs of Refrain, at every level, and every record that is made."""
    watch, level, make = LogWatch(), _LOGGER.level, Record.__new__

    def noted(cls: type[Record], *args: Any, **fields: Any) -> Record:
        record = make(cls, *args, **fields)
        if isinstance(record.value, bytes):
            watch.values.append(record.value)
        return record

    setattr(Record, "__new__", noted)  # noqa: B010 - a type checker takes no other way
    _LOGGER.addHandler(watch)
    _LOGGER.setLevel(logging.DEBUG)
    try:
        yield watch
    finally:
        _LOGGER.setLevel(level)
        _LOGGER.removeHandler(watch)
        setattr(Record, "__new__", make)  # noqa: B010
