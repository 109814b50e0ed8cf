"""The free embedder: the same everywhere, near for light rewordings, far for other questions."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from refrain.streams.models.embedder import TOKENS_MAX
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.vectors import encode, quantise, similarity


def alike(first: str, second: str) -> float:
    rows = HashingEmbedder().embed([first, second])
    return similarity(quantise(rows[0]), quantise(rows[1]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("How do I reset my password?", "how can I reset the password"),
        ("What is the capital of France?", "the capital of France is what?"),
        ("How do I sort a list in Python?", "How to sort a list in python"),
        ("Explain the theory of relativity in simple terms.", "Explain in simple terms the theory of relativity"),
    ],
)
def test_light_rewordings_are_near(first: str, second: str) -> None:
    assert alike(first, second) > 0.85


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("How do I reset my password?", "What is the capital of France?"),
        ("How do I reset my password?", "How do I change my email?"),
        ("How do I sort a list in Python?", "How do I reverse a string in Python?"),
    ],
)
def test_other_questions_are_far(first: str, second: str) -> None:
    assert alike(first, second) < 0.5


def test_a_text_has_one_vector_on_every_machine_and_in_every_batch() -> None:
    embedder = HashingEmbedder()
    text = "How do I reset my password?"
    alone = embedder.embed([text])[0]
    assert np.array_equal(embedder.embed(["other", text, "more"])[1], alone)
    assert hashlib.sha256(encode(quantise(alone)).encode()).hexdigest()[:16] == "6a0940276e68df03"


@pytest.mark.parametrize("text", ["", "?!", "the", "日本語", "x" * 100_000])
def test_every_text_has_a_vector(text: str) -> None:
    rows = HashingEmbedder().embed([text])
    assert rows.shape == (1, HashingEmbedder.dim)
    assert rows.dtype == np.float32
    quantise(rows[0])
    assert HashingEmbedder().fits(text)


def test_a_word_has_one_token_vector_wherever_it_stands() -> None:
    embedder = HashingEmbedder()
    first, second = embedder.embed_tokens(["Reset my password?", "The password, please: reset"])
    assert first.shape == (3, HashingEmbedder.dim)
    assert second.shape == (4, HashingEmbedder.dim)
    assert np.array_equal(first[0], second[3])
    assert np.array_equal(first[2], second[1])
    assert first[0] @ first[2] < 0.5
    assert np.allclose(np.linalg.norm(first, axis=1), 1.0)
    assert np.allclose(first[0], embedder.embed(["reset"])[0] / np.linalg.norm(embedder.embed(["reset"])[0]))


def test_a_text_without_words_has_no_token_vectors_and_a_long_one_those_of_its_beginning() -> None:
    none, many = HashingEmbedder().embed_tokens(["?!", "word " * 200])
    assert none.shape == (0, HashingEmbedder.dim)
    assert many.shape == (TOKENS_MAX, HashingEmbedder.dim)
    assert HashingEmbedder().embed_tokens([]) == []
