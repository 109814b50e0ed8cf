"""Text sides: what the trained head of a category reads of a question, made where the embedding model is."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from refrain.schemas.base import TextSide
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.lru import LruCache
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.embedding_cache import EmbeddingMetrics
from refrain.streams.models.heads_in_force import heads_of
from refrain.streams.models.hit_head import PairHead
from refrain.streams.vectors import Floats

logger = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """A text, and the version of the head that is to read it."""

    hit_head: str
    text: str


Sides = Mapping[Wanted, TextSide | None]


class TextSides:
    """Makes the text sides of a batch, and caches them by digest: no text stays.

    A text that is embedded in the same batch is read by the model once, for both.
    """

    def __init__(self, embedder: Embedder, capacity: int, metrics: EmbeddingMetrics) -> None:
        self._embedder = embedder
        self._metrics = metrics
        self._heads: dict[str, PairHead] = {}
        self._kept: LruCache[bytes, TextSide | None] = LruCache(capacity)

    def follow(self, policy: Policy | None) -> None:
        """Take the heads of a policy. One for the vectors of another embedder is left out, and that is logged."""
        given = () if policy is None else policy.hit_heads
        for head in given:
            if head.embedder != self._embedder.identity:
                logger.warning(
                    "the trained head %s reads vectors of %s and this worker embeds by %s: guards decide without it;"
                    " train one for this embedder with `refrain hits train`",
                    head.version,
                    head.embedder,
                    self._embedder.identity,
                )
        own = [head for head in given if head.embedder == self._embedder.identity]
        self._heads = heads_of(own, self._heads)

    def may_read(self, category: CategoryPolicy | None) -> bool:
        """Whether a head may read the questions of a category; of None, which only their vectors tell."""
        return bool(self._heads) if category is None else category.hit_head in self._heads

    def wanted(self, category: CategoryPolicy, text: str | None) -> Wanted | None:
        """What is to be made for a question of a category; None where no head reads it."""
        version = category.hit_head
        return None if text is None or version is None or version not in self._heads else Wanted(version, text)

    def make(self, wanted: Sequence[Wanted], tokens: Mapping[str, Floats]) -> dict[Wanted, TextSide | None]:
        """The text sides; None for a text that its head does not take. `tokens` are the token vectors at hand.

        One call of the model for the other texts that are not cached.
        """
        keys = {each: _key(each) for each in wanted}
        missing = [each for each, key in keys.items() if key not in self._kept]
        found = {each: self._kept.get(key) for each, key in keys.items() if each not in missing}
        tokens = {**tokens, **self._read([each.text for each in missing if each.text not in tokens])}
        for each in missing:
            side = self._heads[each.hit_head].text_side(tokens[each.text])
            found[each] = None if side is None else TextSide(hit_head=each.hit_head, tokens=side)
            self._kept.put(keys[each], found[each])
        return found

    def _read(self, texts: list[str]) -> dict[str, Floats]:
        if not texts:
            return {}
        with self._metrics.seconds.time():
            return dict(zip(texts, self._embedder.embed_tokens(texts), strict=True))

    def clear(self) -> None:
        """Drop every cached side."""
        self._kept.clear()


def _key(wanted: Wanted) -> bytes:
    return hashlib.blake2b(f"{wanted.hit_head}/{wanted.text}".encode(), digest_size=16).digest()
