"""The default model is one model, whichever backend runs it: its weights, how it reads a text, and its vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from refrain.streams.models.bert_weights import Matrix, read_exported_bert
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.light_files import find_light_model
from refrain.streams.models.loading import find_model, load_embedder
from refrain.streams.settings import Embedding

ODD = (
    "",
    " ",
    "hello",
    "How do I turn {x: 1} into <b>a & b</b> at 100% - or $5? #1 ~ ^ | \\ `y`",
    "I love \U0001f355 and \U0001f697!",
    "Was ist Schön? Scho\u0308n. NAI\u0308VE caf\u00e9",
    "日本語のテキスト。これは長い文です。" * 20,
    "x" * 101,
    "x" * 5_000,
    "word " * 254,
    "word " * 255,
    "The first rule is to read the manual, " * 300,
    "Translate this:\n" + "word " * 300,
    "One sentence. " * 200,
    "[CLS] a [SEP] b [MASK] [UNK]",
    "a\u200bb \ufeff tab\tnul\x00 \ufffd",
    "हिन्दी में लिखा \u0e44\u0e17\u0e22",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 " * 100,
)

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def light() -> Embedder:
    return load_embedder(Embedding(backend="light"), Path())


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    return load_embedder(Embedding(backend="torch", device="cpu"), tmp_path_factory.mktemp("models"))


def test_the_light_weights_are_the_published_ones_rounded_to_integers() -> None:
    light = read_exported_bert(find_light_model(Embedding(backend="light")).weights, 12, 1e-12)
    published = load_file(Path(find_model(Embedding(backend="torch")).place) / "model.safetensors")
    both = {"embeddings.word_embeddings": light.words, **light.matrices}
    assert len(light.matrices) == 36
    for name, matrix in both.items():
        assert within_half_a_step(matrix, published[f"{name}.weight"]), name
    for name, vector in light.vectors.items():
        assert np.array_equal(vector, published[name]), name


def within_half_a_step(matrix: Matrix, wanted: np.ndarray) -> bool:
    steps = np.abs(matrix.rows - wanted / matrix.scale[:, None])
    return bool(steps.max() < 0.5001)


def test_both_read_the_same_part_of_a_text_and_miss_the_same_of_it(light: Embedder, transformer: Embedder) -> None:
    for text in ODD:
        assert light.fits(text) == transformer.fits(text), text[:40]
        assert light.head(text) == transformer.head(text), text[:40]
        assert light.unread(text) == transformer.unread(text), text[:40]


def test_both_give_a_text_nearly_the_same_vector_and_each_token_too(light: Embedder, transformer: Embedder) -> None:
    for text, one, other in zip(ODD, light.embed(ODD), transformer.embed(ODD), strict=True):
        assert one @ other > 0.97, text[:40]
    for text, rows, wanted in zip(ODD, light.embed_tokens(ODD), transformer.embed_tokens(ODD), strict=True):
        assert rows.shape == wanted.shape, text[:40]
        assert (np.sum(rows * wanted, axis=1) > 0.99).all(), text[:40]
