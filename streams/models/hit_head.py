"""The head of the hit rule: what the words of two texts, aligned with each other, take off their similarity.

A decomposable attention (Parikh, Täckström, Das and Uszkoreit, "A Decomposable Attention Model for Natural Language
Inference", EMNLP 2016) over the embedder's token vectors. Each token of one text is compared with a mean of the other
text's tokens, weighted by how well they match; what the comparisons come to, and the rule's own evidence, is one sum.

All is computed on integers, and rounded where a division demands it: the order of sums does not matter, and
every machine finds the same. Nothing raises a score: the head only takes off.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from refrain.schemas.hit_heads import HitHead
from refrain.streams.lru import LruCache
from refrain.streams.models.hit_head_artifact import Bytes, decode_bytes, encode_bytes
from refrain.streams.vectors import SCALE, Floats

TOKENS_MAX = 48
"""Tokens of a text that a head looks at; a longer text has no side, and the rule alone decides."""
SIDES_CACHED = 4_096
LARGEST = 127
"""The largest number of a projected token."""
FINER = 16
"""Units of a feature that make one unit of a projected token: means lie between whole numbers."""
PRODUCT_UNIT = FINER * LARGEST
"""What a product of two features is divided by, so that it is as large as a feature may be."""
STEPS_PER_OCTAVE = 16
OCTAVES = 16
"""An alignment of 2^-16 of the best one counts as none."""
PLACES = 128
"""Binary places with which the powers are computed."""

Array = npt.NDArray[np.float64]


def _powers() -> Array:
    """Falling powers of two, a sixteenth of an octave apart, as integers that end in 0; from integer roots alone."""
    step = 1 << (PLACES - 1)
    for _ in range(STEPS_PER_OCTAVE.bit_length() - 1):
        step = math.isqrt(step << PLACES)
    found, power = [], 1 << PLACES
    for _ in range(STEPS_PER_OCTAVE * OCTAVES):
        found.append(power >> (PLACES - OCTAVES))
        power = (power * step) >> PLACES
    return np.array([*found, 0], dtype=np.float64)


POWERS = _powers()


class PairHead:
    """The head of an artefact, ready to weigh pairs."""

    def __init__(self, head: HitHead) -> None:
        self.version = head.version
        self._head = head
        self._projection = decode_bytes(head.projection, head.dim).astype(np.float64).T
        self._projection_scales = np.array(head.projection_scales)
        self._layer = decode_bytes(head.layer, 4 * head.width).astype(np.float64).T
        self._layer_biases = np.array(head.layer_biases, dtype=np.float64)
        self._output = np.array(head.output, dtype=np.int64)
        self._sides: LruCache[str, Array] = LruCache(SIDES_CACHED)

    def text_side(self, tokens: Floats) -> str | None:
        """What the head keeps of the token vectors (T, dim) of a text: base64 of int8, (T, width).

        None for no tokens, for more than TOKENS_MAX, and for vectors that are not finite. Raises ValueError for vectors
        of another length than the head's.
        """
        if tokens.ndim != 2 or tokens.shape[1] != self._head.dim:
            raise ValueError(f"token vectors of shape {tokens.shape} are not those of a head of {self._head.dim}")
        if not 0 < len(tokens) <= TOKENS_MAX or not np.isfinite(tokens).all():
            return None
        sums = unit_tokens(tokens) @ self._projection
        return encode_bytes(_clipped(np.rint(sums * self._projection_scales)))

    def weight(
        self, asked: str | None, kept: str | None, similarity: int, letters: int, stems: int, penalty: int
    ) -> int:
        """Weigh a pair: what to take off its similarity, in millionths, from 0 to the head's cap.

        `asked` and `kept` are text sides: without one of them it is 0. Similarity and penalty are in millionths,
        letters and stems in thousandths. Which text is the kept one makes no difference. Raises ValueError for a text
        side that is none of this head.
        """
        if asked is None or kept is None:
            return 0
        terms = self._head.evidence
        pooled = self._compare(self._side(asked), self._side(kept))
        found = int(self._output @ pooled) + terms.bias
        found += terms.similarity * similarity + terms.letters * letters
        found += terms.stems * stems + terms.penalty * penalty
        return min(max(found >> self._head.shift, 0), self._head.cap)

    def _side(self, text: str) -> Array:
        found = self._sides.get(text)
        if found is None:
            rows = decode_bytes(text, self._head.width)
            if len(rows) > TOKENS_MAX:
                raise ValueError(f"a text side of {len(rows)} tokens has more than {TOKENS_MAX}")
            found = rows.astype(np.float64)
            self._sides.put(text, found)
        return found

    def _compare(self, a: Array, b: Array) -> npt.NDArray[np.int64]:
        """What the tokens of two texts (T, width) come to, both directions summed (2 * hidden)."""
        matches = a @ b.T
        there = features(a, _aligned(matches, b, self._head.sharpness))
        back = features(b, _aligned(matches.T, a, self._head.sharpness))
        units = np.maximum(np.concatenate([there, back]) @ self._layer + self._layer_biases, 0)
        pooled = _pooled(units[: len(a)]) + _pooled(units[len(a) :])
        return pooled.astype(np.int64)


def unit_tokens(tokens: Floats) -> Array:
    """Token vectors (T, dim) as unit vectors in 16-bit integers; one without a length stays zero."""
    wide = tokens.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    found: Array = np.rint(wide * (SCALE / np.where(lengths == 0, 1.0, lengths)))
    return found


def features(tokens: Array, aligned: Array) -> Array:
    """Features (T, 4 * width) of tokens and what each is aligned with: both, their distance, and their product."""
    fine = tokens * FINER
    product = np.rint(fine * aligned / PRODUCT_UNIT)
    return np.concatenate([fine, aligned, np.abs(fine - aligned), product], axis=1)


def _aligned(matches: Array, others: Array, sharpness: float) -> Array:
    """For each row of products (T, S) the mean of the others (S, width), weighted by a power of the product."""
    below = matches.max(axis=1, keepdims=True) - matches
    steps = np.minimum(below * sharpness, len(POWERS) - 1).astype(np.intp)
    weights = POWERS[steps]
    means: Array = np.rint((weights @ others) * FINER / weights.sum(axis=1, keepdims=True))
    return means


def _pooled(units: Array) -> Array:
    """Mean, rounded, and maximum over tokens of the units (T, hidden), one after the other."""
    return np.concatenate([np.rint(units.sum(axis=0) / len(units)), units.max(axis=0)])


def _clipped(rows: Array) -> Bytes:
    return np.clip(rows, -LARGEST, LARGEST).astype(np.int8)
