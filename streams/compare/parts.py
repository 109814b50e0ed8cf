"""Splits a long answer into parts that fit an embedder's window, and takes the mean of their vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from refrain.streams.vectors import Ints, quantise

SEEK_CHARS = 200
"""How far from the middle a blank is looked for, to cut there."""


def split(text: str, fits: Callable[[str], bool], parts_max: int) -> list[str] | None:
    """Split a text into parts that fit, halved until they do; only parts of blanks are left out.

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
    """The index to split at: behind the last blank before the middle that is near it, else the middle."""
    middle = len(piece) // 2
    start = max(1, middle - SEEK_CHARS)
    found = max(piece.rfind(blank, start, middle) for blank in "\n ")
    return middle if found < 0 else found + 1
