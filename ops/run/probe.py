"""Asks a process for a page over plain HTTP, as its health or its metrics.

Not by httpx, which takes longer to load than all workers to answer, and whose clients each read the certificates of the
system: 20 ms of a core.
"""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection, HTTPException, IncompleteRead
from typing import NamedTuple

PAGE_BYTES_MAX = 8_000_000
"""The largest page that is read."""


class Page(NamedTuple):
    """An answer: its status, and its text as far as it is UTF-8."""

    status: int
    text: str


class NoAnswer(Exception):
    """Nothing answered, or no whole page by HTTP. The text is the name of the error."""


def page(host: str, port: int, path: str, timeout_s: float) -> Page:
    """What a process answers; each step of it may take `timeout_s`. Raises NoAnswer."""
    with closing(HTTPConnection(host, port, timeout=timeout_s)) as connection:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read(PAGE_BYTES_MAX)
            if answer.length:
                # It ends early, or is larger.
                raise IncompleteRead(text, answer.length)
            return Page(answer.status, text.decode(errors="replace"))
        except (OSError, HTTPException) as error:
            raise NoAnswer(type(error).__name__) from error
