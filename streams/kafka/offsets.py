"""Offsets that the client gives: the one place that tells them from what stands for none."""

from __future__ import annotations

from refrain.streams.errors import Unanswered


def known_offset(offset: int | None, of: str) -> int:
    """The offset, 0 or more. Raises Unanswered for any other: the client gives one below 0 where it knows none.

    A question that times out may come back with such a one (-1001) and no error.
    """
    if offset is None or offset < 0:
        raise Unanswered(f"the offset of {of} is not known ({offset}): its leader does not answer")
    return offset
