"""The hashing embedder, which needs no model: words, word pairs and prefixes hashed onto fixed directions.

The same on every machine, quick, and of no use for meaning: light rewordings are near, other questions far.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from refrain.streams.models.embedder import TOKENS_MAX, unit_rows
from refrain.streams.vectors import Floats

DIM = 384
ROWS = 8_192
SEED = 20_251
WORD_WEIGHT = 100
STEM_WEIGHT = 45
PAIR_WEIGHT = 25
STOP_WEIGHT = 12
"""Whole numbers: their sums are exact in float32, in whatever order a machine adds."""
STEM_CHARS = 4

_WORD = re.compile(r"\w+")
_UNSEEN = frozenset({"Sc", "Sk", "Sm", "So", "Mc", "Me", "Mn"})
_STOP = frozenset(
    _WORD.findall(
        "a an the of to in on at for and or is are was were be been do does did i me my we our you your it its this"
        " that please can could would should will shall may might have has had with by from as so just"
    )
)


class HashingEmbedder:
    """An embedder by feature hashing: deterministic, for tests, benches and trying things out."""

    identity = "free-1"
    dim = DIM

    def __init__(self) -> None:
        self._basis = _basis()

    def embed(self, texts: Sequence[str]) -> Floats:
        return self._rows(texts)

    def embed_tokens(self, texts: Sequence[str]) -> list[Floats]:
        """Token vectors of each text: a row a word, which is the direction of that word alone."""
        return [unit_rows(self._rows(_WORD.findall(text.lower())[:TOKENS_MAX])) for text in texts]

    def fits(self, text: str) -> bool:
        return True

    def head(self, text: str) -> str:
        return text

    def unread(self, text: str) -> tuple[str, ...]:
        """The signs beyond ASCII, such as emoji, and the marks on letters: no hashed word holds them."""
        if text.isascii():
            return ()
        return tuple(char for char in text if unicodedata.category(char) in _UNSEEN)

    def _rows(self, texts: Sequence[str]) -> Floats:
        rows: Floats = np.zeros((len(texts), DIM), dtype=np.float32)
        for number, text in enumerate(texts):
            rows[number] = self._one(text)
        return rows

    def _one(self, text: str) -> Floats:
        weights: dict[int, int] = {}
        for feature, weight in _features(_WORD.findall(text.lower()) or [text]):
            weights[feature] = weights.get(feature, 0) + weight
        at = np.fromiter(weights.keys(), dtype=np.intp, count=len(weights))
        by = np.fromiter(weights.values(), dtype=np.float32, count=len(weights))
        vector: Floats = by @ self._basis[at]
        return vector


def content_words(text: str) -> list[str]:
    """The content words of a text in their order, in lower case, without stop words."""
    return [word for word in _WORD.findall(text.lower()) if word not in _STOP]


def _features(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    before = ""
    for word in words:
        if word in _STOP:
            yield _row(word), STOP_WEIGHT
            continue
        yield _row(word), WORD_WEIGHT
        yield _row("#" + word[:STEM_CHARS]), STEM_WEIGHT
        if before:
            # The pair in one order only: turned-around words stay near.
            yield _row(f"{before} {word}" if before < word else f"{word} {before}"), PAIR_WEIGHT
        before = word


def _row(feature: str) -> int:
    return zlib.crc32(feature.encode()) % ROWS


@lru_cache(maxsize=1)
def _basis() -> Floats:
    """Directions (ROWS, DIM) of signs, from integer arithmetic alone."""
    bits = np.random.Generator(np.random.PCG64(SEED)).integers(0, 2, size=(ROWS, DIM), dtype=np.int8)
    basis: Floats = (bits * 2 - 1).astype(np.float32)
    return basis
