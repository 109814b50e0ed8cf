"""`refrain evaluate` and `refrain calibrate` from the command line, with the free embedder."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.cli import main
from refrain.ops.policies.file import read_policy
from refrain.ops.terminal import exit_codes

TASKS = "sort reverse copy split merge count shuffle filter".split()
PLACES = "Python|Go|Rust|Java|Ruby|Perl|Lua|Scala".split("|")


@pytest.fixture(autouse=True)
def _free_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REFRAIN_CONFIG", "REFRAIN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")
    monkeypatch.setenv("REFRAIN_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def pairs() -> Path:
    """64 rewordings and 64 pairs that differ in a number, half of each in either category."""
    path = Path("pairs.jsonl.gz")
    lines = []
    for task in TASKS:
        for place in PLACES:
            asked = f"How do I {task} 2 lists in {place}?"
            kind = "code" if place in PLACES[:4] else "docs"
            for other, label in ((f"How can I {task} 2 lists in {place}?", 1), (asked.replace("2", "3"), 0)):
                lines.append(json.dumps({"text_a": asked, "text_b": other, "label": label, "category": kind}))
    path.write_bytes(gzip.compress("\n".join([*lines, "{", '{"text_a": "x"}']).encode()))
    return path


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_pairs_are_told_for_each_stage_with_intervals(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "pairs", str(pairs), "--json", "--verifier", "words"]) == 0
    made = told(capsys)
    assert (made["pairs"], made["same"], made["different"], made["embedder"]) == (128, 64, 64, "free-1")
    assert made["bad_lines"] == {
        "count": 2,
        "first": [
            {"line": 129, "why": made["bad_lines"]["first"][0]["why"]},
            {"line": 130, "why": "text_b: missing"},
        ],
    }
    assert list(made["stages"]) == ["cosine", "guards", "guards_and_verifier"]
    low = {name: stage["thresholds"][0] for name, stage in made["stages"].items()}
    assert low["cosine"]["false_hits"] == 64
    assert low["guards"]["false_hits"] == 0
    assert low["guards"]["recall"] == {**low["guards"]["recall"], "value": 1.0, "count": 64, "of": 64, "high": 1.0}
    assert 0.9 < low["guards"]["recall"]["low"] < 1
    assert [each["precision"] for each in made["stages"]["guards"]["best_recall"]] == [0.9, 0.95, 0.99]
    assert made["refused"]["different"] == {"numbers": 64}


def test_people_see_tables_and_the_bad_lines(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "pairs", str(pairs), "--by", "category", "--limit", "100"]) == 0
    shown = capsys.readouterr()
    assert "with guards" in shown.out
    assert "code (" in shown.out
    assert "100 pairs (50 the same, 50 not)" in shown.err
    assert f"{pairs}:130: text_b: missing" in shown.err


def test_other_fields_values_and_conditions_may_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"q": "a b c", "r": "a b c", "kind": kind, "score": n} for n, kind in enumerate("EEENNC")]
    Path("sick.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = [
        "evaluate",
        "pairs",
        "sick.jsonl",
        "--text-a",
        "q",
        "--text-b",
        "r",
        "--label",
        "kind",
        "--positive",
        "E",
    ]
    assert main([*command, "--by", "kind", "--where", "score>=1", "--json", "--guards", "none"]) == 0
    made = told(capsys)
    assert (made["pairs"], made["same"], made["groups"]) == (5, 2, {"C": 1, "E": 2, "N": 2})
    assert list(made["stages"]) == ["cosine"]
    assert made["by"]["cosine"]["E"][0] == {**made["by"]["cosine"]["E"][0], "threshold": 0.7, "count": 2, "of": 2}


@pytest.fixture
def sick(pairs: Path) -> Path:
    """The same pairs with other fields, and as many of a kind that asks the same and is worded alike."""
    path = Path("sick.jsonl")
    rows = [json.loads(line) for line in gzip.decompress(pairs.read_bytes()).splitlines()[:128]]
    kinds = [{"q": each["text_a"], "r": each["text_b"], "kind": "NE"[each["label"]], "score": 5} for each in rows]
    alike = [{"q": each["q"], "r": each["q"], "kind": "E", "score": 4} for each in kinds]
    path.write_text("\n".join(map(json.dumps, [*kinds, *alike])))
    return path


OF_SICK = ":text_a=q:text_b=r:label=kind:positive=E"


def test_several_files_are_told_one_by_one_as_alone_and_pooled(
    pairs: Path, sick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "pairs", str(pairs), f"{sick}{OF_SICK}:by=kind", "--json"]) == 0
    made = told(capsys)
    assert main(["evaluate", "pairs", str(pairs), "--json"]) == 0
    assert made["files"][0] == {"name": "pairs.jsonl.gz", **told(capsys)}
    second = made["files"][1]
    assert (second["name"], second["pairs"], second["same"], second["groups"]) == (
        "sick.jsonl", 256, 192, {"E": 192, "N": 64},
    )  # fmt: skip
    assert "by" not in made["files"][0]
    low = {way: stages["cosine"]["thresholds"][0] for way, stages in made["pooled"].items()}
    # All are served: of the one file half ask the same, of the other, twice as large, three quarters.
    assert low["each_file_alike"]["precision"] == (0.5 + 0.75) / 2
    assert low["each_pair_alike"]["precision"] == round((64 + 192) / (128 + 256), 6)
    best = made["pooled"]["each_file_alike"]["guards"]["best_recall"][0]
    assert (best["recall"]["value"], list(best["files"])) == (1.0, ["pairs.jsonl.gz", "sick.jsonl"])


def test_a_file_has_the_options_of_the_command_where_it_says_none(
    sick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = "\n".join(json.dumps({"q": "a", "r": "a", "label": label, "score": 5}) for label in (0, 1))
    Path("plain.jsonl").write_text(plain)
    common = ["--text-a", "q", "--text-b", "r", "--where", "score>=5", "--positive", "E", "--label", "kind"]
    files = [str(sick), f"{sick}:where=", "plain.jsonl:label=label:positive="]
    assert main(["evaluate", "pairs", *files, *common, "--json"]) == 0
    found = [(each["name"], each["pairs"], each["same"]) for each in told(capsys)["files"]]
    assert found == [("sick.jsonl", 128, 64), ("sick.jsonl:where=", 256, 192), ("plain.jsonl", 2, 1)]


def test_people_see_which_file_a_row_is_of_and_one_threshold_for_all(
    pairs: Path, sick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "pairs", str(pairs), f"{sick}{OF_SICK}"]) == 0
    shown = capsys.readouterr()
    rows = [line.split("\t") for line in shown.out.splitlines()]
    assert {row[0] for row in rows if row[1] == "with guards"} >= {"pairs.jsonl.gz", "sick.jsonl", "each file alike"}
    assert ["recall of pairs.jsonl.gz", "recall of sick.jsonl"] in [row[-2:] for row in rows]
    assert f"{pairs}:130: text_b: missing" in shown.err


@pytest.mark.parametrize(
    ("second", "code", "said"),
    [
        ("nowhere.jsonl", exit_codes.USAGE, "nowhere.jsonl does not exist"),
        ("pairs.jsonl.gz:lable=x", exit_codes.USAGE, "lable is no option of a file"),
        ("pairs.jsonl.gz", exit_codes.USAGE, "named twice"),
        (".", exit_codes.USAGE, "is a folder"),
        ("sick.jsonl", exit_codes.FAILED, "sick.jsonl holds no pair that can be used"),
        (f"sick.jsonl{OF_SICK}:where=score", exit_codes.USAGE, "sick.jsonl: 'score' is no condition"),
        (f"sick.jsonl{OF_SICK}:by=color", exit_codes.FAILED, "sick.jsonl: --by color"),
    ],
)
def test_what_is_wrong_with_one_of_several_files_is_said_of_that_file(
    second: str, code: int, said: str, pairs: Path, sick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "pairs", str(pairs), second]) == code
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_a_file_whose_name_looks_like_options_is_taken_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a:label=b").write_text('{"text_a": "x", "text_b": "x", "label": 1}')
    assert main(["evaluate", "pairs", "a:label=b", "--json"]) == 0
    assert told(capsys)["file"] == "a:label=b"


def test_several_files_are_plotted_and_what_is_wrongly_served_names_its_file(
    pairs: Path, sick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--plot", "out.png", "--wrong", "wrong.jsonl", "--guards", "none"]
    assert main(["evaluate", "pairs", str(pairs), f"{sick}{OF_SICK}", "--json", *options]) == 0
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    wrong = [json.loads(line) for line in Path("wrong.jsonl").read_text().splitlines()]
    assert [each["file"] for each in wrong] == ["pairs.jsonl.gz"] * 64 + ["sick.jsonl"] * 64


def test_a_plot_is_a_picture_and_what_is_wrongly_served_a_file(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--plot", "out.png", "--wrong", "wrong.jsonl", "--guards", "names"]
    assert main(["evaluate", "pairs", str(pairs), "--json", *options]) == 0
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    wrong = [json.loads(line) for line in Path("wrong.jsonl").read_text().splitlines()]
    assert len(wrong) == 64
    assert set(wrong[0]) == {"line", "similarity", "score", "text_a", "text_b"}


def test_without_matplotlib_the_extra_is_named_before_any_work(
    pairs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["evaluate", "pairs", str(pairs), "--plot", "out.png"]) == exit_codes.WRONG_SETUP
    assert "pip install 'refrain-cache[plot]'" in capsys.readouterr().err
    assert not Path("state").exists()


@pytest.mark.parametrize("command", ["pairs", "queries"])
def test_a_file_without_a_good_line_ends_with_1_and_its_reasons(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.jsonl").write_text("{\n[]\n")
    assert main(["evaluate", command, "bad.jsonl"]) == exit_codes.FAILED
    shown = capsys.readouterr().err
    assert "bad.jsonl:1: not JSON" in shown
    assert "bad.jsonl:2: not a JSON object" in shown


def test_unknown_guards_and_conditions_are_refused(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "pairs", str(pairs), "--guards", "numbrs"]) == exit_codes.USAGE
    assert "no guard is called 'numbrs'" in capsys.readouterr().err
    assert main(["evaluate", "pairs", str(pairs), "--where", "score"]) == exit_codes.USAGE
    assert "is no condition" in capsys.readouterr().err


def test_questions_are_told_with_their_false_hits(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"question": f"How do I {task} a list in {place}?", "answer": task} for task in TASKS for place in PLACES]
    Path("asked.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n{\n")
    command = ["evaluate", "queries", "asked.jsonl", "--threshold", "0.5", "--guards", "none"]
    assert main([*command, "--json"]) == 0
    made = told(capsys)
    assert (made["requests"], made["bad_lines"]["count"]) == (64, 1)
    assert made["false_hits"]["count"] == sum(made["by_category"][name]["false_hits"]["count"] for name in
                                              made["by_category"]) > 0  # fmt: skip
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "got the answer of" in shown.out
    assert "asked.jsonl:65: not JSON" in shown.err


def test_a_policy_and_a_threshold_are_not_both_taken(capsys: pytest.CaptureFixture[str]) -> None:
    Path("asked.jsonl").write_text('{"question": "x", "answer": "y"}\n')
    command = ["evaluate", "queries", "asked.jsonl", "--policy", "p.yaml"]
    assert main([*command, "--threshold", "0.9"]) == exit_codes.USAGE
    Path("p.yaml").write_text("categories: {uncategorised: {}}\n")
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    assert told(capsys)["reasons"] == {"miss: namespace_empty": 1}


def test_calibration_prints_what_the_policy_takes(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--pairs", str(pairs), "--budget", "0.1"]) == 0
    shown = capsys.readouterr()
    policy = read_policy(shown.out, "printed")
    assert set(policy.categories) == {"code", "docs"}
    assert "of 32 hits are false" in shown.err
    assert f"{pairs}:129" in shown.err


def test_calibration_applies_a_policys_guards_and_budgets(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.yaml").write_text(
        "categories:\n  code: {error_budget: 0.1, threshold_ceiling: 0.92}\n  docs: {error_budget: 0.2, guards: []}\n"
    )
    assert main(["calibrate", "--pairs", str(pairs), "--policy", "p.yaml", "--json"]) == 0
    made = told(capsys)
    assert {name: (each["samples"], each["budget"]) for name, each in made["categories"].items()} == {
        "code": (32, 0.1),
        "docs": (64, 0.2),
    }
    assert made["yaml"].startswith("categories:\n  code:\n    threshold: 0.")
    assert "threshold_ceiling is 0.92: raise that too" in made["categories"]["code"]["note"]


def test_judged_pairs_of_both_labels_are_calibrated_by_a_sigmoid(capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for number, task in enumerate(TASKS * 8):
        near, far = f"how do i {task} list {number} in python now", f"{task} {number}"
        rows += [{"text_a": near, "text_b": f"{near} please", "label": number % 16 > 0}]
        rows += [{"text_a": near, "text_b": far, "label": number % 16 == 0}]
    Path("judged.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ["calibrate", "--pairs", "judged.jsonl", "--guards", "none", "--budget", "0.3"]
    assert main([*command, "--json"]) == 0
    made = told(capsys)["categories"]["default"]
    assert (made["method"], made["slope"] > 0, 0.5 < made["threshold"] < 1) == ("platt", True, True)
    assert main([*command, "--method", "exact"]) == 0
    assert "(95% sure, exact)" in capsys.readouterr().err
    assert main([*command, "--limit", "12", "--method", "platt"]) == exit_codes.FAILED
    assert "more of label 0 (does not)" in capsys.readouterr().err


def test_too_few_pairs_propose_nothing_and_say_how_many_are_needed(
    pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "--pairs", str(pairs), "--category", "code"]) == exit_codes.FAILED
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "with 299, none of them false" in shown.err
    assert "docs" not in shown.err


def test_pairs_that_are_all_the_same_propose_nothing(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = gzip.decompress(pairs.read_bytes()).splitlines()
    Path("same.jsonl").write_bytes(b"\n".join(line for line in lines if b'"label": 1' in line))
    assert main(["calibrate", "--pairs", "same.jsonl", "--budget", "0.2", "--json"]) == exit_codes.FAILED
    made = told(capsys)
    assert {each["threshold"] for each in made["categories"].values()} == {None}
    assert "no pair of label 0" in made["categories"]["code"]["why"]
    assert made["yaml"] == ""
