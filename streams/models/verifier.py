"""Verifiers: the probability that two questions ask the same, by a model that reads both together.

`load_verifier` makes the one that the settings name; nothing is imported or fetched before it is called.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from refrain.streams.lru import LruCache
from refrain.streams.models.hashing_embedder import content_words

Pair = tuple[str, str]

PLACES = 6
"""Scores are rounded to so many places: what differs behind them is the machine."""


class Verifier(Protocol):
    """Scores pairs of questions. A pair has one score, whichever question stands first."""

    @property
    def identity(self) -> str:
        """The name of the model, the hash of its weights and the backend."""

    def scores(self, pairs: Sequence[Pair]) -> list[float | None]:
        """Score each pair: the probability, in [0, 1], that both ask the same; None when that cannot be told."""


class SharedWordsVerifier:
    """Scores the share of content words that both questions have. For tests, and for trying things out.

    The share is of the longer question. It needs no model and knows no meaning: swapped roles are the same to it.
    """

    identity = "words/1"

    def scores(self, pairs: Sequence[Pair]) -> list[float | None]:
        return [_shared(Counter(content_words(one)), Counter(content_words(other))) for one, other in pairs]


class CachingVerifier:
    """A verifier that caches the scores of recent pairs, by digest: no text stays in it.

    Its scores are valid whatever the model gives: rounded, and None for what is no probability.
    """

    def __init__(self, verifier: Verifier, capacity: int) -> None:
        self.identity = verifier.identity
        self._verifier = verifier
        self._kept: LruCache[bytes, float] = LruCache(capacity)

    def scores(self, pairs: Sequence[Pair]) -> list[float | None]:
        """Score each pair, with one call of the model for those not cached. Blank texts have no score."""
        keys = [_key(pair) for pair in pairs]
        found: dict[bytes, float | None] = {key: self._kept.get(key) for key in keys}
        # The same pair once, and always the same way round.
        missing = {
            key: (min(pair), max(pair))
            for key, pair in zip(keys, pairs, strict=True)
            if found[key] is None and _has_text(pair)
        }
        if missing:
            scored = self._verifier.scores(list(missing.values()))
            for key, score in zip(missing, map(_valid, scored), strict=True):
                found[key] = score
                if score is not None:
                    self._kept.put(key, score)
        return [found[key] for key in keys]


def _shared(one: Counter[str], other: Counter[str]) -> float | None:
    most = max(one.total(), other.total())
    return (one & other).total() / most if one and other else None


def _has_text(pair: Pair) -> bool:
    return all(text.strip() for text in pair)


def _valid(score: float | None) -> float | None:
    if score is None or not math.isfinite(score) or not 0 <= score <= 1:
        return None
    return round(score, PLACES)


def _key(pair: Pair) -> bytes:
    """The cache key of a pair, the same for both orders."""
    return b"".join(sorted(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in pair))
