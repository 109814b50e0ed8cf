"""The light embedder: a BERT's own vectors, the same in every batch, and no other library than it needs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refrain.streams.errors import WrongSetup
from refrain.streams.models.ctranslate2_encoder import CTranslate2Encoder
from refrain.streams.models.embedder import TOKENS_MAX as ROWS_MAX
from refrain.streams.models.embedder import Embedder, embed_both
from refrain.streams.models.light_embedder import BATCH_TOKENS, batches
from refrain.streams.models.light_files import DEFAULT_MODEL, WEIGHTS_SHA256, check_tokenizer
from refrain.streams.models.loading import find_model, load_embedder
from refrain.streams.models.transformer_embedder import KNOWN_SHA256
from refrain.streams.settings import Embedding
from refrain.streams.vectors import Floats, quantise
from tests.streams.models.tiny_bert import (
    POSITIONS,
    TOKENS_MAX,
    VOCABULARY,
    WIDTH,
    tiny_weights,
    token_vectors,
    tokenizer,
    write_json,
    write_tiny_bert,
)

TEXTS = ("How do I reset my passwords?", "what is rain", "a", "", "a b c ? a b c", "the the the", "rain is what")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("models") / "tiny")


def loaded(folder: Path, **more: Any) -> Embedder:
    return load_embedder(Embedding(model=str(folder), backend="light", **more), folder / "unused")


def ids_of(*words: str) -> list[int]:
    return [VOCABULARY.index(word) for word in ("[CLS]", *words, "[SEP]")]


def test_a_vector_is_the_mean_of_the_last_layer_but_for_rounding_to_integers(folder: Path) -> None:
    words = ("how", "do", "i", "reset", "my", "password", "##s", "?")
    wanted = token_vectors(tiny_weights(), ids_of(*words)).mean(axis=0)
    found = loaded(folder).embed(["How do I reset my passwords?"])[0]
    assert found @ wanted / np.linalg.norm(wanted) > 0.99
    assert np.isclose(np.linalg.norm(found), 1.0)


def test_a_vector_is_the_first_token_of_a_model_that_says_so(tmp_path: Path, folder: Path) -> None:
    first = write_tiny_bert(tmp_path / "tiny")
    write_json(first / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    wanted = token_vectors(tiny_weights(), ids_of("what", "is", "rain"))[0]
    embedder = loaded(first)
    assert embedder.embed(["What is rain"])[0] @ wanted / np.linalg.norm(wanted) > 0.99
    assert np.array_equal(embed_both(embedder, ["What is rain"])[0], embedder.embed(["What is rain"]))
    assert embedder.identity != loaded(folder).identity


def test_small_letters_that_the_tokenizer_makes_itself_may_be_asked_for(tmp_path: Path, folder: Path) -> None:
    small = write_tiny_bert(tmp_path / "tiny")
    write_json(small / "sentence_bert_config.json", {"max_seq_length": TOKENS_MAX, "do_lower_case": True})
    assert np.array_equal(loaded(small).embed(["What is Rain"]), loaded(folder).embed(["what is rain"]))
    write_json(small / "tokenizer.json", {**tokenizer(), "normalizer": None})
    with pytest.raises(WrongSetup, match="reads texts in another way"):
        loaded(small)


def test_token_vectors_are_the_last_layer_of_the_texts_own_tokens(folder: Path) -> None:
    embedder = loaded(folder)
    rows, none = embedder.embed_tokens(["What is rain", ""])
    wanted = token_vectors(tiny_weights(), ids_of("what", "is", "rain"))[1:-1]
    assert rows.shape == (3, WIDTH)
    assert none.shape == (0, WIDTH)
    assert (np.sum(rows * wanted, axis=1) / np.linalg.norm(wanted, axis=1) > 0.98).all()
    assert embedder.embed_tokens([]) == []


def test_a_text_has_the_same_vectors_in_every_batch_and_on_any_number_of_threads(folder: Path) -> None:
    one, two = loaded(folder, threads=1), loaded(folder, threads=2)
    alone = np.concatenate([one.embed([text]) for text in TEXTS])
    for embedder in (one, two):
        for times in (1, 3, 70):
            together = embedder.embed([text for text in reversed(TEXTS) for _ in range(times)])
            assert np.array_equal(together[::-times][: len(TEXTS)], alone)
    for text, rows in zip(TEXTS, two.embed_tokens(TEXTS), strict=True):
        assert np.array_equal(rows, one.embed_tokens([text])[0])
    assert one.embed([]).shape == (0, WIDTH)


def test_texts_of_equal_length_run_together_up_to_a_number_of_tokens() -> None:
    assert batches([3, 5, 3, 3]) == [[0, 2, 3], [1]]
    many = batches([BATCH_TOKENS // 2] * 5)
    assert many == [[0, 1], [2, 3], [4]]
    assert batches([BATCH_TOKENS * 2] * 2) == [[0], [1]]
    assert batches([]) == []


def test_what_lies_beyond_the_window_does_not_reach_the_vector(folder: Path) -> None:
    embedder = loaded(folder)
    inside = "a " * (TOKENS_MAX - 2)
    assert embedder.fits(inside)
    assert not embedder.fits(inside + "b")
    assert np.array_equal(embedder.embed([inside]), embedder.embed([inside + "b " * 50]))
    assert embedder.embed_tokens([inside + "b"])[0].shape == (TOKENS_MAX - 2, WIDTH)
    assert embedder.head("what is rain?\n" + "a " * 50) == "what is rain?\n"


def test_what_the_vocabulary_does_not_know_is_told(folder: Path) -> None:
    assert loaded(folder).unread("what is \U0001f355") == ("\U0001f355",)


def test_it_loads_without_the_libraries_of_training_and_gives_the_same_vectors_in_another_process(folder: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path\n"
        "from refrain.streams.models.loading import load_embedder\n"
        "from refrain.streams.settings import Embedding\n"
        "from refrain.streams.vectors import Floats, quantise\n"
        "embedder = load_embedder(Embedding(model=sys.argv[1]), Path(sys.argv[1]))\n"
        "vectors = [quantise(row).tolist() for row in embedder.embed(json.loads(sys.argv[2])[:3])]\n"
        "print(json.dumps([embedder.identity, vectors, sorted(sys.modules)]))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(folder), json.dumps(TEXTS)], capture_output=True, text=True, check=True
    )
    identity, vectors, modules = json.loads(ran.stdout)
    embedder = loaded(folder)
    assert identity == embedder.identity
    assert vectors == [quantise(row).tolist() for row in embedder.embed(TEXTS[:3])]
    assert not {"torch", "transformers", "sentence_transformers", "onnxruntime"} & set(modules)


def test_its_identity_names_the_model_all_that_decides_vectors_and_the_engine(folder: Path, tmp_path: Path) -> None:
    identity = loaded(folder).identity
    assert identity.startswith("tiny@")
    assert identity.endswith("/ctranslate2")
    assert loaded(write_tiny_bert(tmp_path / "same" / "tiny")).identity == identity
    assert loaded(write_tiny_bert(tmp_path / "weights" / "tiny", seed=2)).identity != identity
    other = write_tiny_bert(tmp_path / "tokenizer" / "tiny")
    write_json(other / "tokenizer.json", {**tokenizer(), "normalizer": None})
    assert loaded(other).identity != identity
    cut = write_tiny_bert(tmp_path / "window" / "tiny")
    write_json(cut / "sentence_bert_config.json", {"max_seq_length": 8})
    assert loaded(cut).identity != identity


def test_weights_of_another_hash_are_refused(folder: Path) -> None:
    with pytest.raises(WrongSetup, match="expected " + "ab" * 32):
        loaded(folder, sha256="ab" * 32)


def test_a_window_longer_than_the_weights_are_for_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "tiny")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": POSITIONS + 1})
    with pytest.raises(WrongSetup, match="window is longer"):
        loaded(folder)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": POSITIONS})
    alone, longest = loaded(folder).embed(["a", "a " * 2 * POSITIONS])
    assert np.array_equal(loaded(folder).embed(["a " * 2 * POSITIONS])[0], longest)
    assert not np.array_equal(alone, longest)


def test_a_tokenizer_of_another_hash_is_refused_naming_both(folder: Path) -> None:
    path = folder / "tokenizer.json"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    check_tokenizer(path, digest)
    with pytest.raises(WrongSetup, match=f"{digest}, expected {'ab' * 32}"):
        check_tokenizer(path, "ab" * 32)


@pytest.mark.parametrize(
    ("file", "value", "reason"),
    [
        ("config.json", {"model_type": "gpt2"}, "no BERT encoder"),
        ("sentence_bert_config.json", {"max_seq_length": "8"}, "reads texts in another way"),
        ("modules.json", [{"type": "x.Transformer"}], "made of Transformer"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "neither the mean of its tokens nor the first"),
        (
            "1_Pooling/config.json",
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            "neither the mean of its tokens nor the first",
        ),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "puts a prompt before"),
        ("tokenizer.json", None, "holds no tokenizer.json"),
    ],
)
def test_a_model_that_it_cannot_run_is_named_with_the_reason_and_left_to_another_backend(
    tmp_path: Path, file: str, value: Any, reason: str
) -> None:
    folder = write_tiny_bert(tmp_path / "tiny")
    assert find_model(Embedding(model=str(folder))).backend == "light"
    if value is None:
        (folder / file).unlink()
    else:
        write_json(folder / file, value)
    with pytest.raises(WrongSetup, match=reason):
        loaded(folder)
    assert find_model(Embedding(model=str(folder))).backend != "light"


def test_weights_that_are_no_berts_are_named(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, "num_hidden_layers": 3})
    with pytest.raises(WrongSetup, match=r"cannot run tiny: .*encoder\.layer\.2"):
        loaded(folder)


def test_a_model_on_another_device_is_left_to_another_backend(folder: Path) -> None:
    assert find_model(Embedding(model=str(folder), device="cuda")).backend == "torch"
    with pytest.raises(WrongSetup, match="runs on the CPU"):
        loaded(folder, device="cuda")


@pytest.mark.model
def test_other_weights_of_the_default_model_are_left_to_another_backend() -> None:
    assert find_model(Embedding(sha256=next(iter(KNOWN_SHA256.values())))).backend != "light"
    assert find_model(Embedding(sha256=WEIGHTS_SHA256)).backend == "light"


@pytest.fixture(scope="module")
def default() -> Embedder:
    return load_embedder(Embedding(backend="light"), Path())


@pytest.mark.model
def test_the_default_model_is_run_by_it_and_known_by_its_hash(default: Embedder) -> None:
    found = find_model(Embedding())
    assert (found.backend, found.sha256) == ("light", WEIGHTS_SHA256)
    assert default.identity.startswith(f"{DEFAULT_MODEL}@")
    assert default.dim == 384
    with pytest.raises(WrongSetup, match=f"{WEIGHTS_SHA256}, expected {'ab' * 32}"):
        load_embedder(Embedding(backend="light", sha256="ab" * 32), Path())


@pytest.mark.model
def test_questions_of_one_meaning_are_near(default: Embedder) -> None:
    rows = default.embed(["How do I reset my password?", "What must I do to reset my password?", "Is it raining?"])
    assert rows[0] @ rows[1] > 0.85 > 0.5 > rows[0] @ rows[2]


@pytest.mark.model
def test_long_texts_of_the_default_model_are_read_as_far_as_its_window_goes(default: Embedder) -> None:
    assert default.fits("word " * 254)
    assert not default.fits("word " * 255)
    assert default.embed_tokens(["word " * 300])[0].shape == (ROWS_MAX, 384)


def test_one_run_gives_both_kinds_of_vectors_to_the_last_bit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = loaded(folder)
    rows, tokens = embedder.embed(TEXTS), embedder.embed_tokens(TEXTS)
    read: list[int] = []
    last_layer = CTranslate2Encoder.last_layer

    def counted(encoder: CTranslate2Encoder, ids: Sequence[Sequence[int]]) -> list[Floats]:
        read.append(len(ids))
        return last_layer(encoder, ids)

    monkeypatch.setattr(CTranslate2Encoder, "last_layer", counted)
    both_rows, both_tokens = embed_both(embedder, TEXTS)
    assert sum(read) == len(TEXTS), "each text is read once"
    assert np.array_equal(both_rows, rows)
    assert all(np.array_equal(a, b) for a, b in zip(both_tokens, tokens, strict=True))
    assert embed_both(embedder, [])[1] == []
