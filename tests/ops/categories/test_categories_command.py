"""`refrain categories`: examples in, an artefact out, and figures of what it does; with the free embedder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.categories.examples import Example
from refrain.ops.categories.figures import figures, matrix, share_text
from refrain.ops.cli import main
from refrain.ops.data.intervals import share
from refrain.ops.observe import doctor_checks
from refrain.ops.terminal import exit_codes
from refrain.schemas.policy import UNCATEGORISED
from refrain.streams.models.category_artifact import CATEGORY_FILES
from refrain.streams.models.category_classifier import CategoryClassifier, load_category_classifier
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.settings import Classify, Settings
from refrain.streams.vectors import quantise
from tests.streams.models.made_categories import artefact, axis

pytest.importorskip("sklearn")

TOPICS = {
    "code": ("python", "function", "compiler", "variable", "recursion", "pointer"),
    "cooking": ("oven", "flour", "recipe", "simmer", "garlic", "pastry"),
}
STRANGE = ("volcano", "senator", "violin", "glacier", "stadium", "orbit")


def sentences(words: tuple[str, ...]) -> Iterator[str]:
    """Thirty texts, each of two of the words."""
    for first in words:
        for second in words:
            if first != second:
                yield f"{first} with {second}"


def lines() -> list[dict[str, Any]]:
    known = [
        {"text": text, "category": name, "intent": f"{name} {text.split()[0]}"}
        for name, words in TOPICS.items()
        for text in sentences(words)
    ]
    strange = [{"text": text, "category": None, "intent": None} for text in sentences(STRANGE)]
    return [{**line, "part": "train"} for line in known + strange]


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFRAIN_CONFIG", raising=False)
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    path = tmp_path / "examples.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines()))
    return path


def trained(examples: Path, name: str, *more: str) -> bytes:
    """The artefact's bytes."""
    out = examples.parent / name
    assert main(["categories", "train", "--examples", str(examples), "--out", str(out), *more]) == exit_codes.OK
    return out.read_bytes()


def test_the_same_examples_give_the_same_artefact(examples: Path) -> None:
    one = trained(examples, "one.json")
    assert trained(examples, "two.json") == one
    assert trained(examples, "finer.json", "--label", "intent") != one


def test_what_it_has_learned_is_told_apart_and_the_strange_has_no_category(examples: Path) -> None:
    trained(examples, "a.json")
    ready = load_category_classifier(examples.parent / "a.json", HashingEmbedder.identity)
    vectors = [quantise(row) for row in HashingEmbedder().embed([str(line["text"]) for line in lines()])]
    wrong = [
        line
        for line, vector in zip(lines(), vectors, strict=True)
        if ready.classify(vector).category != line["category"]
    ]
    assert len(wrong) <= 4
    made = ready.artefact.made
    assert (made.examples, made.outside) == ({"code": 30, "cooking": 30}, 30)
    assert made.held_out_rejected is not None


def test_its_figures_are_told_with_intervals(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(examples, "a.json")
    capsys.readouterr()
    given = ["categories", "test", "--artefact", "a.json", "--examples", str(examples)]
    assert main([*given, "--json"]) == exit_codes.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["examples"] == 90
    for name in ("accuracy", "abstained", "kept_right", "kept_wrong", "rejected"):
        figure = shown[name]
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert figure["count"] == round(figure["value"] * figure["total"])
    assert shown["confusion"]["code"]["code"] >= 28
    assert main(given) == exit_codes.OK
    assert "who is taken" not in capsys.readouterr().err


def test_parts_are_kept_apart(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = [{**line, "part": "val" if number % 5 == 0 else "train"} for number, line in enumerate(lines())]
    examples.write_text("\n".join(json.dumps(line) for line in split))
    parts = ["--split", "part", "--train", "train", "--validation", "val", "--json"]
    trained(examples, "a.json", *parts)
    shown = json.loads(capsys.readouterr().out)
    assert sum(shown["examples"].values()) + shown["outside"] == 72
    assert shown["validation"]["kept_right"]["total"] == 12
    only = examples.parent / "only.jsonl"
    only.write_text("\n".join(json.dumps(line) for line in split if line["part"] == "train"))
    assert trained(only, "b.json") == (examples.parent / "a.json").read_bytes()


def test_without_examples_out_of_scope_the_floor_keeps_the_share_asked_for(
    examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples.write_text("\n".join(json.dumps(line) for line in lines() if line["category"]))
    trained(examples, "a.json", "--keep", "0.8", "--json")
    shown = json.loads(capsys.readouterr().out)
    assert shown["outside"] == 0
    assert shown["held_out_rejected"] is None
    assert shown["held_out_kept"] >= 0.8


def test_what_is_out_of_scope_may_come_from_a_file_or_a_field(examples: Path) -> None:
    whole = trained(examples, "a.json")
    strange = examples.parent / "strange.jsonl"
    strange.write_text("\n".join(json.dumps(line) for line in lines() if not line["category"]))
    rest = examples.parent / "rest.jsonl"
    rest.write_text("\n".join(json.dumps(line) for line in lines() if line["category"]))
    assert trained(rest, "b.json", "--outside", str(strange)) == whole
    marked = [{**line, "category": line["category"] or "oos"} for line in lines()]
    examples.write_text("\n".join(json.dumps(line) for line in marked))
    assert trained(examples, "c.json", "--outside-when", "category=oos") == whole


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (lambda line: line["category"] == "code", "examples of 1 category"),
        (lambda line: line["category"] != "code" or line["text"].startswith("python with f"), "code has 1: 5 examples"),
        (lambda line: line["category"] or line["text"] == "volcano with orbit", "what is out of scope has 1"),
    ],
)
def test_too_few_examples_are_refused_by_name(
    examples: Path, capsys: pytest.CaptureFixture[str], keep: Any, said: str
) -> None:
    examples.write_text("\n".join(json.dumps(line) for line in lines() if keep(line)))
    assert main(["categories", "train", "--examples", str(examples), "--out", "a.json"]) == exit_codes.FAILED
    assert said in capsys.readouterr().err
    assert not Path("a.json").exists()


def test_a_bad_line_is_told_and_the_rest_goes_on(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = trained(examples, "a.json")
    examples.write_text("{\n" + examples.read_text())
    assert trained(examples, "b.json") == whole
    assert "line 1: not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--validation", "val"], exit_codes.USAGE),
        (["--split", "part", "--validation", "nothing"], exit_codes.USAGE),
        (["--outside-when", "category"], exit_codes.USAGE),
        (["--outside", "gone.jsonl"], exit_codes.USAGE),
    ],
)
def test_options_that_name_nothing_are_refused(examples: Path, more: list[str], code: int) -> None:
    assert main(["categories", "train", "--examples", str(examples), "--out", "a.json", *more]) == code


def test_an_artefact_of_another_embedder_is_refused(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:

    Path("a.json").write_bytes(CATEGORY_FILES.encode(artefact()))
    given = ["categories", "test", "--artefact", "a.json", "--examples", str(examples)]
    assert main(given) == exit_codes.WRONG_SETUP
    assert "vectors of made-1, the embedder here is free-1" in capsys.readouterr().err


def test_a_text_without_a_vector_is_uncategorised() -> None:
    asked = [
        Example("a", "chat", "chat"),
        Example("b", "chat", "chat"),
        Example("c", None, None),
        Example("d", "code", "code"),
    ]
    shown = figures(CategoryClassifier(artefact()), asked, [axis(1), None, axis(0, 0, 0, 1), axis(1)])
    assert shown.confusion == {
        "chat": {"chat": 1, UNCATEGORISED: 1},
        "code": {"chat": 1},
        UNCATEGORISED: {UNCATEGORISED: 1},
    }
    assert (shown.kept_right.part, shown.kept_wrong.part, shown.rejected.part, shown.accuracy.part) == (1, 1, 1, 1)
    columns, rows = matrix(shown)
    assert columns == ["is \\ found", "chat", "code", UNCATEGORISED]
    assert rows == [["chat", 1, 0, 1], ["code", 1, 0, 0], [UNCATEGORISED, 0, 0, 1]]


def test_the_interval_is_that_of_clopper_and_pearson() -> None:
    # For 0 of n the upper bound is 1 - (alpha / 2) ** (1 / n).
    none = share(0, 100)
    assert [none.low, none.high] == pytest.approx([0.0, 1 - 0.025 ** (1 / 100)])
    assert share_text(share(0, 0)) == "no examples"
    assert share(0, 0).value is None


def test_the_doctor_tells_of_an_artefact_that_cannot_be_read() -> None:
    unset, here, gone = (
        Settings(classify=Classify(categories=path)) for path in (None, Path("a.json"), Path("gone.json"))
    )
    Path("a.json").write_bytes(CATEGORY_FILES.encode(artefact()))
    (none,) = doctor_checks.categories(unset)
    (found,) = doctor_checks.categories(here)
    assert "nearest examples" in none.seen
    assert f"version {artefact().version}, 3 categories, trained on vectors of made-1" in found.seen
    (bad,) = doctor_checks.guarded("categories", lambda: doctor_checks.categories(gone))
    assert (bad.state, "gone.json cannot be read" in bad.seen) == ("fail", True)
