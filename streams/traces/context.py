"""The W3C context of a record or an HTTP request, as far as it is well formed. Pure, without the library."""

from __future__ import annotations

from refrain.streams.kafka.interface import Headers
from refrain.streams.traces.interface import TRACEPARENT, TRACESTATE

TRACEPARENT_CHARS_MAX = 512
TRACESTATE_CHARS_MAX = 512
"""What the recommendation has everybody carry on; a longer one is dropped."""
TRACESTATES_MAX = 32
"""Headers of that name that are read as one."""


def context_in(headers: Headers) -> dict[str, list[str]]:
    """Values of the two context headers, by name; empty where no single `traceparent` is there.

    A `tracestate` that is too long, or no ASCII, is left out; several are parts of one.
    """
    parents = [value for name, value in headers if name == TRACEPARENT]
    if len(parents) != 1:
        return {}
    parent = _text(parents[0], TRACEPARENT_CHARS_MAX)
    if parent is None:
        return {}
    states = [value for name, value in headers if name == TRACESTATE]
    if not states or len(states) > TRACESTATES_MAX:
        return {TRACEPARENT: [parent]}
    told = _text(b",".join(value or b"" for value in states), TRACESTATE_CHARS_MAX)
    return {TRACEPARENT: [parent]} if told is None else {TRACEPARENT: [parent], TRACESTATE: [told]}


def carried(headers: Headers) -> Headers:
    """The context that headers carry, as headers of that alone."""
    return tuple((name, value.encode("ascii")) for name, values in context_in(headers).items() for value in values)


def _text(value: bytes | None, chars_max: int) -> str | None:
    """Bytes as text, None where they are none of printable ASCII within the limit."""
    if value is None or len(value) > chars_max or not value.isascii():
        return None
    text = value.decode("ascii")
    return text if text.isprintable() else None
