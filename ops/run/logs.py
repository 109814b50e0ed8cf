"""Logging: one line an event, to stderr: time, level, worker, message. Never the text of a question or an answer."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from typing import TextIO

from refrain.streams.errors import RefrainError

QUIET = ("faust", "mode", "aiokafka", "httpx", "httpcore", "sentence_transformers", "transformers", "asyncio")
"""Libraries that tell more than an operator needs; they are heard from WARNING on."""


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


def set_up(worker: str, level: str, stream: TextIO | None = None) -> None:
    """Send every event to `stream` (stderr when None) as one line, in the name of `worker`."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(OneLine(worker))
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
