"""The embedding model itself: found, checked, exported once, and near where meanings are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refrain.streams.errors import WrongSetup
from refrain.streams.models.embedder import TOKENS_MAX, Embedder, embed_both
from refrain.streams.models.files import packaged
from refrain.streams.models.loading import load_embedder
from refrain.streams.models.transformer_embedder import KNOWN_SHA256, PACKAGES, TransformerEmbedder
from refrain.streams.settings import Embedding

KNOWN = next(iter(KNOWN_SHA256.values()))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def embedder(cache: Path) -> Embedder:
    return load_embedder(Embedding(backend="onnx"), cache)


@pytest.mark.model
def test_its_identity_names_model_weights_and_backend(embedder: Embedder) -> None:
    assert embedder.identity.startswith(f"all-MiniLM-L6-v2@{KNOWN[:12]}/")
    assert embedder.dim == 384


@pytest.mark.model
def test_questions_of_one_meaning_are_near(embedder: Embedder) -> None:
    rows = embedder.embed(["How do I reset my password?", "What must I do to reset my password?", "Is it raining?"])
    assert rows.shape == (3, 384)
    assert rows.dtype == np.float32
    assert rows[0] @ rows[1] > 0.85 > 0.5 > rows[0] @ rows[2]
    assert embedder.embed([]).shape == (0, 384)


@pytest.mark.model
def test_each_token_of_a_text_has_a_vector_whatever_stands_beside_the_text(embedder: Embedder) -> None:
    short, empty, long = embedder.embed_tokens(["reset the password", "", "word " * 300])
    assert (short.shape, empty.shape, long.shape) == ((3, 384), (0, 384), (TOKENS_MAX, 384))
    assert short.dtype == np.float32
    assert np.allclose(np.linalg.norm(short, axis=1), 1.0, atol=1e-6)
    assert np.allclose(short, embedder.embed_tokens(["reset the password"])[0], atol=1e-5)
    assert embedder.embed_tokens([]) == []


@pytest.mark.model
def test_one_run_gives_the_vectors_and_token_vectors_of_two(embedder: Embedder) -> None:
    texts = ["reset the password", "", "word " * 300, "Où est la gare ?", *(f"number {n}" for n in range(40))]
    rows, tokens = embed_both(embedder, texts)
    assert np.array_equal(rows, embedder.embed(texts))
    assert all(np.array_equal(a, b) for a, b in zip(tokens, embedder.embed_tokens(texts), strict=True))
    assert embed_both(embedder, [])[0].shape == (0, 384)


@pytest.mark.model
@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("hello", True),
        ("word " * 254, True),
        ("word " * 255, False),
        ("é" * 300, True),
        ("日" * 300, False),
        ("x " * 50_000, False),
    ],
)
def test_a_text_beyond_the_window_does_not_fit(embedder: Embedder, text: str, inside: bool) -> None:
    assert embedder.fits(text) is inside


@pytest.mark.model
def test_the_head_of_a_long_text_is_short_and_fits(embedder: Embedder) -> None:
    text = "The first rule is to read the manual, " * 300
    head = embedder.head(text)
    assert text.startswith(head)
    assert 150 < len(head) < 400
    assert embedder.fits(head)
    assert embedder.head("Translate this:\n" + "word " * 300) == "Translate this:\n"


@pytest.mark.model
@pytest.mark.parametrize(
    ("first", "second"), [("I love \U0001f355", "I love \U0001f697"), ("schon", "schön"), ("x" * 101, "y" * 101)]
)
def test_what_does_not_reach_the_vector_is_told(embedder: Embedder, first: str, second: str) -> None:
    rows = embedder.embed([first, second])
    assert np.allclose(rows[0], rows[1], atol=1e-6)
    assert embedder.unread(first) != embedder.unread(second)


@pytest.mark.model
def test_english_is_read_as_a_whole(embedder: Embedder) -> None:
    assert embedder.unread("How do I turn {x: 1} into <b>a & b</b> at 100% - or $5? #1 ~ ^ | \\ `y`") == ()


@pytest.mark.model
def test_the_onnx_form_is_exported_once(cache: Path, embedder: Embedder) -> None:
    assert embedder.identity.endswith("/onnx")
    kept = list(cache.iterdir())
    assert [path.name for path in kept] == [f"all-MiniLM-L6-v2-{KNOWN[:12]}"]
    made = (kept[0] / "onnx" / "model.onnx").stat().st_mtime_ns
    again = load_embedder(Embedding(backend="onnx"), cache)
    assert (kept[0] / "onnx" / "model.onnx").stat().st_mtime_ns == made
    assert np.array_equal(again.embed(["hello"]), embedder.embed(["hello"]))


@pytest.mark.model
def test_a_name_without_its_owner_and_a_folder_find_the_same_weights(tmp_path: Path) -> None:
    by_name = load_embedder(Embedding(backend="torch", model="all-MiniLM-L6-v2"), tmp_path)
    found = packaged(PACKAGES["sentence-transformers/all-MiniLM-L6-v2"])
    assert found is not None
    by_folder = load_embedder(Embedding(backend="torch", model=str(found)), tmp_path)
    assert by_name.identity.split("@")[1] == by_folder.identity.split("@")[1] == f"{KNOWN[:12]}/torch"


@pytest.mark.model
def test_weights_of_another_hash_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongSetup, match=f"{KNOWN}, expected {'ab' * 32}"):
        load_embedder(Embedding(backend="torch", sha256="ab" * 32), tmp_path)


@pytest.mark.model
def test_a_model_that_is_nowhere_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WrongSetup, match="nobody/nothing is not on this machine"):
        load_embedder(Embedding(model="nobody/nothing"), tmp_path)
    with pytest.raises(WrongSetup, match=r"holds none of model\.safetensors"):
        load_embedder(Embedding(model=str(tmp_path)), tmp_path)


class Rows:
    """Rows as PyTorch gives them."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def cpu(self) -> Rows:
        return self

    def numpy(self) -> Any:
        return self.rows


class Moody:
    """A model that fails on one text."""

    max_seq_length = 16

    def tokenizer(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"special_tokens_mask": [1, *(0 for _ in text), 1], "input_ids": [0 for _ in text]}

    def get_embedding_dimension(self) -> int:
        return 2

    def encode(self, texts: Sequence[str], output_value: str = "", **_: Any) -> Any:
        if any("bad" in text for text in texts):
            raise RuntimeError("no")
        if output_value == "token_embeddings":
            return [Rows(np.array([[0, 0], *([3, 4] for _ in text), [0, 0]])) for text in texts]
        return np.ones((len(texts), 2))


def test_a_text_that_the_model_fails_on_costs_no_other_its_vector() -> None:
    rows = TransformerEmbedder(Moody(), "moody").embed(["a", "bad", "c"])
    assert np.isnan(rows).any(axis=1).tolist() == [False, True, False]


def test_a_text_that_the_model_fails_on_has_no_token_vectors_and_others_do() -> None:
    a, bad, ccc = TransformerEmbedder(Moody(), "moody").embed_tokens(["a", "bad", "ccc"])
    assert (a.shape, bad.shape, ccc.shape) == ((1, 2), (0, 2), (3, 2))
    assert np.allclose(ccc, [[0.6, 0.8]] * 3)


def test_where_one_run_fails_each_text_has_what_the_model_gives_for_it() -> None:
    rows, (a, bad, ccc) = embed_both(TransformerEmbedder(Moody(), "moody"), ["a", "bad", "ccc"])
    assert np.isnan(rows).any(axis=1).tolist() == [False, True, False]
    assert (a.shape, bad.shape, ccc.shape) == ((1, 2), (0, 2), (3, 2))
