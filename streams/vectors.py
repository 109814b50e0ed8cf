"""The vector of record: a unit vector in 16-bit integers, whose similarities are the same on every machine."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float32]

SCALE = 32_767
PLACES = 6
"""Decimal places of a similarity in decisions and against thresholds."""


def quantise(vector: npt.NDArray[Any]) -> Ints:
    """Quantise a vector (dim) to its vector of record (dim, int16).

    Raises ValueError for a vector that is not finite or has no length.
    """
    wide = np.asarray(vector, dtype=np.float64)
    length = float(np.sqrt(np.dot(wide, wide)))
    if not math.isfinite(length) or length == 0.0:
        raise ValueError("a vector must be finite and not zero")
    scaled: Ints = np.rint(wide * (SCALE / length)).astype(np.int16)
    return scaled


def encode(ints: Ints) -> str:
    """Encode a vector of record as base64 of its little-endian integers."""
    return base64.b64encode(ints.astype("<i2", copy=False).tobytes()).decode("ascii")


def decode(text: str) -> Ints:
    """Decode a vector of record from base64. Raises ValueError for text that is not theirs."""
    return np.frombuffer(binascii.a2b_base64(text, strict_mode=True), dtype="<i2")


def squared_norm(ints: Ints) -> int:
    """The squared norm of a vector of record, an exact integer."""
    wide = ints.astype(np.int64)
    return int(np.dot(wide, wide))


def similarity(a: Ints, b: Ints) -> float:
    """The cosine of two vectors of record: integer dot product over integer norms, rounded to six places."""
    return cosine(int(np.dot(a.astype(np.int64), b.astype(np.int64))), squared_norm(a), squared_norm(b))


def cosine(dot: int, norm_a: int, norm_b: int) -> float:
    """The cosine from integer sums; every step is exactly rounded, so all machines agree."""
    value = dot / math.sqrt(norm_a * norm_b)
    return round(min(1.0, max(-1.0, value)), PLACES)
