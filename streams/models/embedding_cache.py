"""The cache of embeddings: a repeated text is not embedded again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram

from refrain.streams.lru import LruCache
from refrain.streams.metrics import SECONDS, Metrics
from refrain.streams.models.embedder import Embedder, embed_both, vector_of_record
from refrain.streams.vectors import Floats, Ints


class EmbeddingMetrics:
    """The metrics of a processor that embeds texts, on the registry of those that all workers have."""

    def __init__(self, shared: Metrics, threads: int = 0) -> None:
        """`threads` are those that the model takes of this machine."""
        self.embedded = Counter(
            "refrain_texts_embedded", "Texts embedded, and remembered", ["how"], registry=shared.registry
        )
        self.seconds = Histogram(
            "refrain_embedding_seconds",
            "Time of a call of the embedding model",
            buckets=SECONDS,
            registry=shared.registry,
        )
        Gauge("refrain_embedding_threads", "Processor threads of the embedding model", registry=shared.registry).set(
            threads
        )


class Embedded(NamedTuple):
    """What is known of the texts of a batch."""

    vectors: Mapping[str, Ints | None]
    """Vectors of record, None for a text without one."""
    tokens: Mapping[str, Floats]
    """Token vectors of the texts that the model has just read for them."""


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
        found = self.embed(texts).vectors
        return [found[text] for text in texts]

    def embed(self, texts: Sequence[str], *, with_tokens: bool = False) -> Embedded:
        """The vectors of the texts; one model call for those not cached, which gives their token vectors too if wanted.

        Token vectors are large and not kept.
        """
        keys = {text: _key(text) for text in texts}
        vectors = {text: self._kept.get(key) for text, key in keys.items() if key in self._kept}
        missing = [text for text in keys if text not in vectors]
        self._known.inc(len(texts) - len(missing))
        self._new.inc(len(missing))
        if not missing:
            return Embedded(vectors, {})
        fresh, tokens = self._run(missing, with_tokens)
        for text, vector in fresh.items():
            self._kept.put(keys[text], vector)
        return Embedded(vectors | fresh, tokens)

    def forget(self, texts: Sequence[str]) -> None:
        """Drop the cached vectors of the texts."""
        for text in texts:
            self._kept.drop(_key(text))

    def clear(self) -> None:
        """Drop every cached vector."""
        self._kept.clear()

    def _run(self, missing: list[str], with_tokens: bool) -> tuple[dict[str, Ints | None], dict[str, Floats]]:
        tokens: list[Floats] = []
        with self.metrics.seconds.time():
            if with_tokens:
                rows, tokens = embed_both(self.embedder, missing)
            else:
                rows = self.embedder.embed(missing)
        vectors = {text: vector_of_record(row) for text, row in zip(missing, rows, strict=True)}
        return vectors, dict(zip(missing, tokens, strict=True)) if tokens else {}


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
