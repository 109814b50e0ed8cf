"""Server-sent events, as OpenAI's clients read them."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
"""A comment: clients pass over it, and proxies see that the stream lives."""
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


def event(value: Any) -> bytes:
    """One event with a JSON value."""
    return b"data: " + to_json(value) + b"\n\n"
