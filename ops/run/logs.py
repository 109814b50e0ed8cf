"""Logging: one line an event, to stderr: time, level, worker, message. Never the text of a question or an answer.

Lines of one kind that come again and again are counted and not all written.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from refrain.streams.errors import RefrainError

QUIET = ("faust", "mode", "aiokafka", "httpx", "httpcore", "sentence_transformers", "transformers", "asyncio")
"""Libraries that tell more than an operator needs; they are heard from WARNING on."""
FIELDS = "fields"
"""What an event tells apart beside its message, for JSON: a dict in the `extra` of a call of the logger."""
LINES_MAX = 20
"""Lines of one kind in a window."""
WINDOW_S = 60.0
KINDS_MAX = 1_000
"""Kinds of lines that are followed."""


class OneLine(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO lookup message`."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {error_line(record.exc_info[1])}"
        return f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {self._worker} " + " | ".join(text.splitlines())


class JsonLines(logging.Formatter):
    """One JSON object an event: `time`, `level`, `worker`, `logger`, `message`, and the fields that it tells apart."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._plain = OneLine(worker)
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        line = self._plain.format(record)
        stamp, level, _worker, message = line.split(" ", 3)
        told: dict[str, object] = {
            "time": stamp, "level": level, "worker": self._worker, "logger": record.name, "message": message,
        }  # fmt: skip
        told |= getattr(record, FIELDS, {})
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


class RepeatLimit(logging.Filter):
    """Lets so many lines of one kind through in a window, and then says how many more there were.

    A kind is a logger, a level and a message before its figures are filled in. `clock` gives seconds.
    """

    def __init__(
        self, most: int = LINES_MAX, window_s: float = WINDOW_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._most = most
        self._window_s = window_s
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, int, str], _Window] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; one that is after others were not tells their number."""
        if record.levelno in (logging.DEBUG, logging.CRITICAL):
            return True
        kind, now_s = (record.name, record.levelno, str(record.msg)), self._clock()
        window = self._kinds.setdefault(kind, _Window(now_s))
        self._kinds.move_to_end(kind)
        if len(self._kinds) > KINDS_MAX:
            self._kinds.popitem(last=False)
        if now_s - window.began_s >= self._window_s:
            left_out, window.began_s, window.count, window.left_out = window.left_out, now_s, 0, 0
            if left_out:
                record.msg, record.args = f"{record.getMessage()} (and {left_out} more like it before)", ()
        window.count += 1
        if window.count <= self._most:
            return True
        if window.count == self._most + 1:
            record.msg = f"{record.getMessage()} (more like it within {self._window_s:.0f} s are counted, not written)"
            record.args = ()
            return True
        window.left_out += 1
        return False


@dataclass
class _Window:
    began_s: float
    count: int = 0
    left_out: int = 0


def set_up(worker: str, level: str, stream: TextIO | None = None, form: str = "text") -> None:
    """Send every event to `stream` (stderr when None) as one line, in the name of `worker`; `form` is text or json."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines(worker) if form == "json" else OneLine(worker))
    handler.addFilter(RepeatLimit())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.captureWarnings(True)


def error_line(error: BaseException) -> str:
    """Error on one line. Messages of other libraries stay out: they may quote what a user wrote."""
    if isinstance(error, RefrainError | OSError):
        return f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{where}"


def trail(error: BaseException) -> str:
    """Traceback of an error, frame by frame, without its messages."""
    frames = traceback.extract_tb(error.__traceback__)
    return "from " + " < ".join(f"{f.filename}:{f.lineno} {f.name}" for f in reversed(frames))
