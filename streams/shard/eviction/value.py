"""Eviction value of an entry: the terms of GreedyDual-Size-Frequency (GDSF).

    value = base at its last touch + frequency x cost x priority / size

L. Cherkasova, Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy, HP Labs 1998
(HPL-98-69R1).
A touch is an admission or a use. Plain float64 in one order, the same on every machine.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from refrain.schemas.documents import Entry

ENVELOPE_BYTES = 512
"""What a stored entry takes beside question, answer and vector; so no entry counts as smaller."""
BYTES_PER_TOKEN = 4
KILOBYTE = 1_000.0
ADMITTED = 0.25
"""What an admission counts for in the frequency, where a use counts 1 (in the paper 1 as well). Most questions are
never asked again: what was asked once has not shown yet that it will be. A quarter saves
more than 1 on all streams that `refrain bench evict` draws, steep and flat, with and without questions that come once,
and as much where half of the questions change their popularity again and again."""
MOST = 2**31 - 1
"""Greater costs and sizes count as this."""

Number = TypeVar("Number", float, npt.NDArray[np.float64])


def gdsf_value(frequency: Number, cost: Number, size: Number, priority: float) -> Number:
    """GDSF value without the base, a kilobyte: frequency (uses and `ADMITTED`) x cost x priority / size.

    Cost is in milliseconds or tokens, size in bytes.
    """
    return frequency * cost * priority / (size / KILOBYTE)


def latency_of(entry: Entry) -> int:
    """Milliseconds that a hit saves, at least 1."""
    return min(max(entry.latency_ms, 1), MOST)


def tokens_of(entry: Entry) -> int:
    """Tokens that a hit saves, at least 1: what the model counted, or else an estimate, a token every 4 bytes."""
    return min(max(entry.tokens or _text_bytes(entry) // BYTES_PER_TOKEN, 1), MOST)


def size_of(entry: Entry) -> int:
    """Bytes of an entry: its question, answer and vector as they are stored, and an envelope for the rest."""
    return min(ENVELOPE_BYTES + _text_bytes(entry) + len(entry.vector or ""), MOST)


def _text_bytes(entry: Entry) -> int:
    return _utf8_bytes(entry.question.data) + _utf8_bytes(entry.answer.data)


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
