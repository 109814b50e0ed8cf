"""The embedding cache: one call for what is new, vectors of record, and nothing of a text that must be forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.models.loading import load_embedder
from refrain.streams.settings import Embedding
from refrain.streams.vectors import Floats


class Counting:
    """Writes down its calls; `bad` and `zero` have no direction."""

    identity = "counting"
    dim = 2

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Floats:
        self.calls.append(list(texts))
        rows = [
            [np.nan, 0.0] if "bad" in text else [0.0, 0.0] if text == "zero" else [1.0, len(text)] for text in texts
        ]
        return np.array(rows, dtype=np.float32)

    def embed_tokens(self, texts: Sequence[str]) -> list[Floats]:
        return [np.zeros((0, self.dim), dtype=np.float32) for _ in texts]

    def fits(self, text: str) -> bool:
        return True

    def head(self, text: str) -> str:
        return text

    def unread(self, text: str) -> tuple[str, ...]:
        return ()


def test_new_texts_of_a_batch_are_embedded_in_one_call_and_each_once() -> None:
    embedder = Counting()
    remembering = EmbeddingCache(embedder, 10, EmbeddingMetrics(Metrics()))
    first = remembering.vectors(["a", "bb", "a"])
    again = remembering.vectors(["bb", "ccc"])
    assert embedder.calls == [["a", "bb"], ["ccc"]]
    assert first[0] is first[2]
    assert again[0] is first[1]


def test_a_text_without_a_vector_has_none() -> None:
    assert [
        v is None for v in EmbeddingCache(Counting(), 10, EmbeddingMetrics(Metrics())).vectors(["a", "bad", "zero"])
    ] == [
        False,
        True,
        True,
    ]


def test_the_text_that_was_used_longest_ago_goes_first() -> None:
    embedder = Counting()
    remembering = EmbeddingCache(embedder, 2, EmbeddingMetrics(Metrics()))
    for texts in (["a"], ["b"], ["a"], ["c"], ["a"], ["b"]):
        remembering.vectors(texts)
    assert embedder.calls == [["a"], ["b"], ["c"], ["b"]]
    assert len(remembering) == 2


def test_without_room_nothing_is_remembered_and_all_are_answered() -> None:
    remembering = EmbeddingCache(Counting(), 0, EmbeddingMetrics(Metrics()))
    assert all(vector is not None for vector in remembering.vectors(["a", "b"]))
    assert len(remembering) == 0


def test_a_forgotten_text_is_embedded_again() -> None:
    embedder = Counting()
    remembering = EmbeddingCache(embedder, 10, EmbeddingMetrics(Metrics()))
    remembering.vectors(["a"])
    remembering.forget(["a", "never seen"])
    assert len(remembering) == 0
    remembering.vectors(["a"])
    assert embedder.calls == [["a"], ["a"]]


def test_all_can_be_forgotten() -> None:
    remembering = EmbeddingCache(Counting(), 10, EmbeddingMetrics(Metrics()))
    remembering.vectors(["a", "b"])
    remembering.clear()
    assert len(remembering) == 0


def test_the_free_embedder_needs_no_model(tmp_path: Path) -> None:
    assert isinstance(load_embedder(Embedding(backend="free"), tmp_path), HashingEmbedder)
    assert list(tmp_path.iterdir()) == []
