"""What of a text an embedder does not see: beyond its window, or unknown to it.

A question is compared by a short head, and must be the same in all the rest: the more of two texts is the same, the
less a vector shows of what is not, and the mean of their parts hides one instruction among many pages. An answer is
only measured, and is embedded in parts, whose mean stands for the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from streams.classify.exact_form import normal
from streams.vectors import Ints, quantise

SEEK_CHARS = 200
"""How far from the middle a blank is looked for, to cut there."""


class Sight(Protocol):
    """How far an embedder sees."""

    def head(self, text: str) -> str: ...

    def unread(self, text: str) -> tuple[str, ...]: ...


class Framed(NamedTuple):
    """A question as an embedder sees it."""

    head: str
    """What is embedded."""
    beyond: str = ""
    """All that follows the head, by its normal form."""
    unread: tuple[str, ...] = ()
    """Pieces of the head that do not reach its vector."""


def frame(text: str, sight: Sight) -> Framed:
    """The text where it lies inside the window; else its normal form, parted behind its head."""
    head = sight.head(text)
    if len(head) == len(text):
        return Framed(text, unread=sight.unread(text))
    whole = normal(text)
    head = head if whole == text else sight.head(whole)
    return Framed(head, whole[len(head) :], sight.unread(head))


def split(text: str, fits: Callable[[str], bool], parts_max: int) -> list[str] | None:
    """The text in parts that fit, halved until they do; together they are the text, but for parts of blanks alone.

    None when that takes more than `parts_max`, which ends the halving: the work is bounded whatever the length.
    """
    parts: list[str] = []
    left = [text]
    while left:
        if len(parts) + len(left) > parts_max:
            return None
        piece = left.pop()
        if len(piece) < 2 or fits(piece):
            parts.append(piece)
        else:
            cut = _middle(piece)
            left += [half for half in (piece[cut:], piece[:cut]) if half.strip()]
    return parts


def mean(parts: Sequence[str], vectors: Sequence[Ints]) -> Ints:
    """The mean of the parts' vectors of record (dim), each weighted by its characters, as a vector of record.

    The sum is one of integers: the same on every machine. Raises ValueError when the vectors cancel out.
    """
    if len(vectors) == 1:
        return vectors[0]
    total = np.zeros(len(vectors[0]), dtype=np.int64)
    for part, vector in zip(parts, vectors, strict=True):
        total += len(part) * vector.astype(np.int64)
    return quantise(total)


def _middle(piece: str) -> int:
    """Where to cut: behind the last blank before the middle that is near it, else in the middle."""
    middle = len(piece) // 2
    start = max(1, middle - SEEK_CHARS)
    found = max(piece.rfind(blank, start, middle) for blank in "\n ")
    return middle if found < 0 else found + 1
