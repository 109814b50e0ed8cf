"""Second opinions: alike in both orders, remembered, and none where a pair cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from refrain.streams.errors import WrongSetup
from refrain.streams.models.cross_encoder import CrossEncoderVerifier, probabilities
from refrain.streams.models.loading import load_verifier
from refrain.streams.models.verifier import CachingVerifier, Pair, SharedWordsVerifier, Verifier
from refrain.streams.settings import Verify

RESET: Pair = ("how do i reset my password", "reset my password how")
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] how do i reset my password pin card the a not".split()
WINDOW = 32


class Scripted:
    """Gives what it is told to; remembers its calls."""

    identity = "scripted"

    def __init__(self, *told: float | None) -> None:
        self.told = told
        self.calls: list[list[Pair]] = []

    def scores(self, pairs: Sequence[Pair]) -> list[float | None]:
        self.calls.append(list(pairs))
        return [self.told[number % len(self.told)] for number in range(len(pairs))]


def made(folder: Path, labels: dict[int, str] | None = None, *, head: bool = True) -> Path:
    """A model of one small layer with random weights, the same each time; with one output unless it has labels."""
    import torch
    import transformers

    # Its constructors have no types.
    bert: Any = transformers

    torch.manual_seed(7)
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    config = bert.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=WINDOW,
        initializer_range=2.0,
        **({"num_labels": 1} if labels is None else {"id2label": labels}),
    )
    model = bert.BertForSequenceClassification(config) if head else bert.BertModel(config)
    model.save_pretrained(folder)
    bert.BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def loaded(folder: Path, cache: Path, backend: Literal["torch", "onnx"] = "torch") -> Verifier:
    verifier = load_verifier(Verify(backend=backend, model=str(folder)), cache)
    assert verifier is not None
    return verifier


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of one output."""
    pytest.importorskip("sentence_transformers")
    return made(tmp_path_factory.mktemp("made") / "tiny duplicates")


@pytest.fixture(scope="module")
def encoder(tiny: Path, cache: Path) -> Verifier:
    return loaded(tiny, cache)


def both_orders(folder: Path, pair: Pair) -> npt.NDArray[np.float64]:
    """The logits of the pair and of the turned one (2, outputs), as the library gives them by itself."""
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity())
    logits: npt.NDArray[np.float64] = model.predict([pair, (pair[1], pair[0])]).astype(np.float64).reshape(2, -1)
    return logits


def test_without_a_model_there_is_no_verifier(tmp_path: Path) -> None:
    assert load_verifier(Verify(), tmp_path) is None
    assert load_verifier(Verify(backend="torch"), tmp_path) is None
    assert isinstance(load_verifier(Verify(backend="words", model="not looked at"), tmp_path), SharedWordsVerifier)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("one", "other", "score"),
    [
        ("How do I reset my password?", "how can i reset the PASSWORD", 1.0),
        ("reset password", "reset password now please", 2 / 3),
        ("reset password", "reset password", 1.0),
        ("Is it raining in Cologne?", "reset password", 0.0),
        ("", "reset password", None),
        ("🙂", "🙂", None),
        ("the a of", "reset", None),
    ],
)
def test_words_are_scored_by_what_both_have(one: str, other: str, score: float | None) -> None:
    assert SharedWordsVerifier().scores([(one, other), (other, one)]) == [score, score]


def test_a_pair_is_scored_once_whichever_way_round() -> None:
    scripted = Scripted(0.25, 0.75)
    remembering = CachingVerifier(scripted, 10)
    assert remembering.scores([("a", "b"), ("b", "a"), ("c", "d"), ("a", "b")]) == [0.25, 0.25, 0.75, 0.25]
    assert remembering.scores([("d", "c"), ("b", "a")]) == [0.75, 0.25]
    assert scripted.calls == [[("a", "b"), ("c", "d")]]
    assert remembering.identity == "scripted"


def test_the_pair_that_was_asked_for_longest_ago_goes_first() -> None:
    scripted = Scripted(0.5)
    remembering = CachingVerifier(scripted, 2)
    for text in ("b", "c", "b", "d", "b", "c"):
        remembering.scores([("a", text)])
    assert [call[0][1] for call in scripted.calls] == ["b", "c", "d", "c"]
    assert CachingVerifier(scripted, 0).scores([("a", "b")]) == [0.5]


def test_scores_are_the_same_to_six_places_and_what_is_no_probability_is_none() -> None:
    told = (0.12345678, math.nan, math.inf, -0.1, 1.1, None, 1.0)
    pairs = [("a", str(number)) for number in range(len(told))]
    assert CachingVerifier(Scripted(*told), 10).scores(pairs) == [0.123457, None, None, None, None, None, 1.0]


def test_what_could_not_be_told_is_tried_again() -> None:
    scripted = Scripted(None)
    remembering = CachingVerifier(scripted, 10)
    assert remembering.scores([("a", "b")]) == remembering.scores([("a", "b")]) == [None]
    assert len(scripted.calls) == 2


@pytest.mark.parametrize("blank", ["", " \n", "\u3000"])
def test_blank_texts_are_not_shown_to_a_verifier(blank: str) -> None:
    scripted = Scripted(1.0)
    assert CachingVerifier(scripted, 10).scores([(blank, "a"), ("a", blank), (blank, blank)]) == [None] * 3
    assert scripted.calls == []


def test_one_logit_is_a_sigmoid_and_several_are_the_share_of_one_label() -> None:
    assert probabilities(np.array([0.0, 800.0, -800.0]), None) == pytest.approx([0.5, 1.0, 0.0])
    assert probabilities(np.array([[0.0], [2.0]]), None) == pytest.approx([0.5, 1 / (1 + math.exp(-2))])
    shares = probabilities(np.array([[0.0, 0.0, 0.0], [0.0, 900.0, 0.0]]), 1)
    assert shares == pytest.approx([1 / 3, 1.0])
    assert np.isnan(probabilities(np.array([np.nan]), None)).all()
    assert np.isnan(probabilities(np.array([[np.nan, 0.0]]), 1)).all()


def test_a_cross_encoder_gives_the_lower_of_both_orders(tiny: Path, encoder: Verifier) -> None:
    (score,) = encoder.scores([RESET])
    (turned,) = encoder.scores([(RESET[1], RESET[0])])
    assert score is not None
    assert turned is not None
    assert score == pytest.approx(turned, abs=1e-6)
    both = probabilities(both_orders(tiny, RESET), None)
    assert abs(both[0] - both[1]) > 0.001
    assert score == pytest.approx(min(both), abs=1e-6)


def test_a_pair_has_the_same_score_in_any_batch(encoder: Verifier) -> None:
    others = [("card " * n, "pin the a " * (8 - n)) for n in range(1, 8)]
    alone = CachingVerifier(encoder, 10).scores([RESET])
    assert CachingVerifier(encoder, 10).scores([*others, RESET])[-1:] == alone


def test_its_identity_names_model_weights_and_backend(encoder: Verifier) -> None:
    name, rest = encoder.identity.split("@")
    assert name == "tiny-duplicates"
    assert len(rest.removesuffix("/torch")) == 12


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("a " * 14, "the " * 15, True),
        ("a " * 15, "the " * 15, False),
        ("a", "the " * 29, False),
        ("a " * 50_000, "the", False),
        ("the", "é" * 100_000, False),
        ("日本語", "🙂 ‮how", True),
    ],
)
def test_a_pair_beyond_the_window_has_no_score(encoder: Verifier, one: str, other: str, told: bool) -> None:
    ordered, turned, beside = encoder.scores([(one, other), (other, one), RESET])
    assert ((ordered is not None), (turned is not None), (beside is not None)) == (told, told, True)


def test_of_entailment_the_models_own_label_counts(tmp_path: Path, cache: Path) -> None:
    pytest.importorskip("sentence_transformers")
    folder = made(tmp_path / "nli", {0: "contradiction", 1: "Entailment", 2: "neutral"})
    (score,) = loaded(folder, cache).scores([RESET])
    logits = both_orders(folder, RESET)
    by_label = [min(probabilities(logits, label)) for label in range(3)]
    assert score == pytest.approx(by_label[1], abs=1e-6)
    assert min(abs(by_label[1] - by_label[0]), abs(by_label[1] - by_label[2])) > 0.001, "the labels differ"


def test_the_onnx_form_scores_alike(tmp_path: Path, encoder: Verifier) -> None:
    pytest.importorskip("optimum.onnxruntime")
    folder = made(tmp_path / "tiny")
    exported = loaded(folder, tmp_path / "models", "onnx")
    assert exported.identity.endswith("/onnx")
    assert exported.scores([RESET]) == pytest.approx(encoder.scores([RESET]), abs=1e-5)


def test_models_that_do_not_say_the_same_are_refused_with_what_is_needed(tmp_path: Path, cache: Path) -> None:
    pytest.importorskip("sentence_transformers")
    labels = {0: "LABEL_0", 1: "LABEL_1"}
    with pytest.raises(WrongSetup, match=r"labels label_0, label_1: name a cross encoder .* as verify\.model"):
        loaded(made(tmp_path / "unnamed", labels), cache)
    with pytest.raises(WrongSetup, match=r"is BertModel, which scores no pairs: name a cross encoder"):
        loaded(made(tmp_path / "embedder", head=False), cache)
    (made(tmp_path / "torn") / "config.json").write_text("{")
    with pytest.raises(WrongSetup, match=r"no config\.json that can be read"):
        loaded(tmp_path / "torn", cache)


def test_a_model_that_is_nowhere_or_another_is_told_with_what_to_do(tmp_path: Path, cache: Path) -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(WrongSetup, match=r"nobody/nothing is not on this machine: set verify\.model"):
        load_verifier(Verify(model="nobody/nothing"), cache)
    with pytest.raises(WrongSetup, match=r"holds none of model\.safetensors.*verify\.model"):
        load_verifier(Verify(model=str(tmp_path)), cache)
    with pytest.raises(WrongSetup, match=r"set verify\.sha256"):
        load_verifier(Verify(model=str(made(tmp_path / "tiny")), sha256="ab" * 32), cache)


class Moody:
    """A model that fails on one text."""

    max_seq_length = 16

    def tokenizer(self, *pair: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [0] * sum(map(len, pair))}

    def predict(self, pairs: Sequence[Pair], **_: Any) -> Any:
        if any("bad" in text for pair in pairs for text in pair):
            raise IndexError("no")
        return np.zeros(len(pairs))


def test_a_pair_that_the_model_fails_on_costs_no_other_its_score() -> None:
    pytest.importorskip("torch")
    verifier = CrossEncoderVerifier(Moody(), "moody", None)
    assert verifier.scores([("a", "b"), ("bad", "b"), ("c", "d")]) == [0.5, None, 0.5]
    assert verifier.scores([]) == []
