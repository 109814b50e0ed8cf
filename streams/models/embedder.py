"""Texts to vectors: what an embedder is, and how recent texts are remembered.

`load_embedder` makes the one that the settings name; nothing is imported or fetched before it is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client import Counter

from streams.lru import Kept
from streams.metrics import Metrics
from streams.models.hashing_embedder import FreeEmbedder
from streams.settings import Embedding
from streams.vectors import Floats, Ints, quantise


class Embedder(Protocol):
    """A model of meaning. Vectors of different identities are never compared."""

    @property
    def identity(self) -> str:
        """Names the model, the hash of its weights and the backend."""

    @property
    def dim(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Floats:
        """The vectors (n, dim) of n texts, in one call of the model. A row of NaN: that text has none."""

    def fits(self, text: str) -> bool:
        """Whether the whole text lies inside the model's window; what lies beyond does not reach the vector."""

    def head(self, text: str) -> str:
        """The text where it fits, else a short beginning of it. Bounded work, whatever the length of the text."""

    def unread(self, text: str) -> tuple[str, ...]:
        """What stands in a text that fits and not in its vector: texts that differ in it alone have the same one."""


def load_embedder(settings: Embedding, cache_dir: Path) -> Embedder:
    """The embedder of the settings; `cache_dir` keeps what is derived from a model, such as its ONNX form.

    Raises WrongSetup when the model is not on this machine, is another than expected, or has no backend here.
    """
    if settings.backend == "free":
        return FreeEmbedder()
    from streams.models.transformer_embedder import load_model_embedder

    return load_model_embedder(settings, cache_dir)


class EmbeddingMetrics:
    """The metrics of a processor that embeds texts, on the registry of those that all workers have."""

    def __init__(self, shared: Metrics) -> None:
        self.embedded = Counter(
            "refrain_texts_embedded", "Texts embedded, and remembered", ["how"], registry=shared.registry
        )


class Remembering:
    """An embedder that remembers the vectors of recent texts, by digest: no text stays in it."""

    def __init__(self, embedder: Embedder, capacity: int, metrics: EmbeddingMetrics) -> None:
        self.embedder = embedder
        self._new = metrics.embedded.labels("embedded")
        self._known = metrics.embedded.labels("remembered")
        self._kept: Kept[bytes, Ints | None] = Kept(capacity)

    def __len__(self) -> int:
        return len(self._kept)

    def vectors(self, texts: Sequence[str]) -> list[Ints | None]:
        """The vectors of record of the texts, None for a text without one; one model call for those not known."""
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
        """Drop what is remembered of the texts."""
        for text in texts:
            self._kept.drop(_key(text))

    def clear(self) -> None:
        """Drop all that is remembered."""
        self._kept.clear()

    def _embed(self, missing: dict[bytes, str]) -> dict[bytes, Ints | None]:
        rows = self.embedder.embed(list(missing.values()))
        fresh = {key: of_record(row) for key, row in zip(missing, rows, strict=True)}
        for key, vector in fresh.items():
            self._kept.put(key, vector)
        return fresh


def of_record(row: Floats) -> Ints | None:
    """The vector of record of what an embedder gives for a text; None where it has none."""
    try:
        return quantise(row)
    except ValueError:
        return None


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
