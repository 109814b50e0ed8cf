"""`refrain hits train`: learns what cosine cannot tell, writes only what gains, and refuses what is too little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.cli import main
from refrain.ops.hits import train
from refrain.ops.terminal import exit_codes
from refrain.streams.models.hit_head_artifact import HEAD_FILES
from tests.ops.hits.judged import rows, write
from tests.streams.models.made_hit_heads import head

PAIRS = 200
LOOKS = 3


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def best(report: dict[str, Any], stage: str) -> float:
    found: float = report["stages"][stage]["best_recall"][0]["recall"]["value"]
    return found


def test_a_head_learns_what_cosine_cannot_tell_and_is_used_by_evaluate_and_calibrate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # So clear a difference is learned early: further steps only make the head surer, in many times the time.
    monkeypatch.setattr(train, "LOOKS", train.LOOKS[:LOOKS])
    write(Path("judged.jsonl"), rows(PAIRS))
    assert main(["hits", "train", "judged.jsonl", "--out", "made/head.json", "--json"]) == 0
    trained = told(capsys)
    made = HEAD_FILES.read(Path("made/head.json"))
    assert (trained["version"], trained["pairs"], trained["out"]) == (made.version, PAIRS, "made/head.json")
    at_90 = trained["held_out"][0]
    assert at_90["rule"]["recall"] < 0.1
    assert at_90["head"]["recall"] > 0.3
    assert trained["gains"] is True

    write(Path("others.jsonl"), rows(PAIRS, seed=2))
    assert main(["evaluate", "pairs", "others.jsonl", "--head", "made/head.json", "--json"]) == 0
    report = told(capsys)
    assert report["head"] == made.version
    assert best(report, "guards") < 0.1
    assert best(report, "head") > 0.3

    calibrate = ["calibrate", "--pairs", "others.jsonl", "--budget", "0.2", "--json"]
    assert main([*calibrate, "--head", "made/head.json"]) == 0
    assert told(capsys)["categories"]["made"]["threshold"] is not None
    assert main(calibrate) == exit_codes.FAILED


def test_the_same_pairs_make_the_same_head(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("judged.jsonl"), rows(110, told=False))
    for name in ("one.json", "other.json"):
        main(["hits", "train", "judged.jsonl", "--out", name, "--force"])
    assert Path("one.json").read_bytes() == Path("other.json").read_bytes()


def test_where_nothing_is_gained_nothing_is_written_unless_it_is_forced(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("judged.jsonl"), rows(120, told=False))
    assert main(["hits", "train", "judged.jsonl", "--out", "head.json"]) == exit_codes.FAILED
    shown = capsys.readouterr()
    assert "nothing is written" in shown.err
    assert shown.out.splitlines()[0].startswith("precision\trule alone\tthreshold\twith the head")
    assert not Path("head.json").exists()
    assert main(["hits", "train", "judged.jsonl", "--out", "head.json", "--force", "--json"]) == 0
    assert told(capsys)["gains"] is False
    assert HEAD_FILES.read(Path("head.json")).made.pairs == 120


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([*rows(99)], "99 judged pairs that the rule may serve"),
        ([{**row, "label": int(n < 19)} for n, row in enumerate(rows(150))], "19 the same and 131 not"),
        ([{**row, "label": int(n >= 19)} for n, row in enumerate(rows(150))], "131 the same and 19 not"),
    ],
)
def test_too_few_pairs_are_refused_by_number(
    given: list[dict[str, Any]], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("judged.jsonl"), iter(given))
    assert main(["hits", "train", "judged.jsonl", "--out", "head.json", "--force"]) != 0
    assert said in capsys.readouterr().err
    assert not Path("head.json").exists()


def test_only_the_pairs_of_a_category_count(capsys: pytest.CaptureFixture[str]) -> None:
    others = [{**row, "category": "other"} for row in rows(300, seed=3)]
    write(Path("judged.jsonl"), iter([*rows(60), *others]))
    assert main(["hits", "train", "judged.jsonl", "--out", "head.json", "--category", "made"]) != 0
    assert "60 judged pairs" in capsys.readouterr().err
    assert main(["hits", "train", "judged.jsonl", "--out", "head.json", "--category", "strange"]) != 0
    assert "holds no pair of strange" in capsys.readouterr().err


def test_files_have_options_of_their_own_and_bad_lines_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    found = [*rows(110, told=False)]
    write(Path("one.jsonl"), iter([*found[:60], {"text_a": "a"}]))
    write(Path("two.jsonl"), ({"a": row["text_a"], "b": row["text_b"], "is": row["label"]} for row in found[60:]))
    arguments = ["one.jsonl", "two.jsonl:text_a=a:text_b=b:label=is", "--out", "head.json", "--force", "--json"]
    assert main(["hits", "train", *arguments]) == 0
    trained = told(capsys)
    assert trained["pairs"] == 110
    assert trained["bad_lines"]["one.jsonl"]["first"][0]["line"] == 61


@pytest.mark.parametrize("command", [["evaluate", "pairs", "judged.jsonl"], ["calibrate", "--pairs", "judged.jsonl"]])
def test_a_head_of_another_embedder_is_refused_naming_both(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(Path("judged.jsonl"), rows(20))
    Path("head.json").write_bytes(HEAD_FILES.encode(head()))
    assert main([*command, "--head", "head.json"]) == exit_codes.WRONG_SETUP
    said = capsys.readouterr().err
    assert "token vectors of made-1, the embedder here is free-1" in said


def test_judged_hits_of_the_system_take_no_head(capsys: pytest.CaptureFixture[str]) -> None:
    Path("head.json").write_bytes(HEAD_FILES.encode(head()))
    assert main(["calibrate", "--head", "head.json"]) == exit_codes.USAGE
    assert "--head" in capsys.readouterr().err
