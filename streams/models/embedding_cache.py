"""The cache of embeddings: a repeated text is not embedded again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

from refrain.streams.lru import LruCache
from refrain.streams.metrics import SECONDS, Metrics
from refrain.streams.models.embedder import Embedder, vector_of_record
from refrain.streams.vectors import Ints


class EmbeddingMetrics:
    """The metrics of a processor that embeds texts, on the registry of those that all workers have."""

    def __init__(self, shared: Metrics) -> None:
        self.embedded = Counter(
            "refrain_texts_embedded", "Texts embedded, and remembered", ["how"], registry=shared.registry
        )
        self.seconds = Histogram(
            "refrain_embedding_seconds",
            "Time of a call of the embedding model",
            buckets=SECONDS,
            registry=shared.registry,
        )


class EmbeddingCache:
    """Caches the vectors of recent texts by digest, over an embedder: no text stays in it."""

    def __init__(self, embedder: Embedder, capacity: int, metrics: EmbeddingMetrics) -> None:
        self.embedder = embedder
        self.capacity = capacity
        self.metrics = metrics
        self._new = metrics.embedded.labels("embedded")
        self._known = metrics.embedded.labels("remembered")
        self._kept: LruCache[bytes, Ints | None] = LruCache(capacity)

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, text: str) -> bool:
        """Whether the text needs no call of the model; it is used now."""
        return _key(text) in self._kept

    def vectors(self, texts: Sequence[str]) -> list[Ints | None]:
        """The vectors of record of the texts, None for a text without one; one model call for those not cached."""
        keys = [_key(text) for text in texts]
        found: dict[bytes, Ints | None] = {}
        missing: dict[bytes, str] = {}
        for key, text in zip(keys, texts, strict=True):
            if key in self._kept:
                found[key] = self._kept.get(key)
            else:
                missing[key] = text
        self._known.inc(len(keys) - len(missing))
        self._new.inc(len(missing))
        if missing:
            found |= self._embed(missing)
        return [found[key] for key in keys]

    def forget(self, texts: Sequence[str]) -> None:
        """Drop the cached vectors of the texts."""
        for text in texts:
            self._kept.drop(_key(text))

    def clear(self) -> None:
        """Drop every cached vector."""
        self._kept.clear()

    def _embed(self, missing: dict[bytes, str]) -> dict[bytes, Ints | None]:
        with self.metrics.seconds.time():
            rows = self.embedder.embed(list(missing.values()))
        fresh = {key: vector_of_record(row) for key, row in zip(missing, rows, strict=True)}
        for key, vector in fresh.items():
            self._kept.put(key, vector)
        return fresh


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
