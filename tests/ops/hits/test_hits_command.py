"""`refrain hits label` where no broker is needed: labels by JSON lines, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refrain.ops.cli import main
from refrain.ops.terminal import exit_codes


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)


def judged(name: str, *labels: int | None) -> None:
    """A file of pairs with these labels."""
    rows = [{"text_a": f"a{n}", "text_b": "b", "label": label, "note": "mine"} for n, label in enumerate(labels)]
    Path(name).write_text("\n".join(map(json.dumps, rows)))


def test_labels_of_another_file_are_added_once_and_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    judged("judged.jsonl", 1, 0, None)
    assert main(["hits", "label", "--from", "judged.jsonl"]) == 0
    shown = capsys.readouterr().err
    assert "2 labels added; 0 were there before, 1 are not labelled" in shown
    assert "hits.jsonl holds 2 labelled pairs, 1 the same and 1 not: refrain calibrate --pairs hits.jsonl" in shown
    judged("judged.jsonl", 0, 0, 0)
    assert main(["hits", "label", "--from", "judged.jsonl"]) == 0
    assert "1 label added; 2 were there before" in capsys.readouterr().err
    kept = [json.loads(line) for line in Path("hits.jsonl").read_text().splitlines()]
    assert [(each["text_a"], each["label"], each["note"]) for each in kept] == [
        ("a0", 1, "mine"), ("a1", 0, "mine"), ("a2", 0, "mine"),
    ]  # fmt: skip


def test_bad_lines_are_named_and_the_rest_is_added(capsys: pytest.CaptureFixture[str]) -> None:
    judged("judged.jsonl", 1, 7)
    assert main(["hits", "label", "--from", "judged.jsonl"]) == 0
    assert "judged.jsonl:2: label: neither 1 nor 0" in capsys.readouterr().err


def test_a_file_without_a_label_adds_nothing_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    judged("judged.jsonl", None)
    assert main(["hits", "label", "--from", "judged.jsonl"]) == exit_codes.FAILED
    assert "judged.jsonl holds no label that can be used" in capsys.readouterr().err
    assert not Path("hits.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no terminal is here to ask in: take --out and --from"),
        (["--out", "x.jsonl", "--send"], "leave --from and --send out"),
        (["--out", "judged.jsonl"], "judged.jsonl exists, and may hold labels"),
        (["--observed", "--send"], "leave --out, --from and --send out"),
        (["--observed", "--other-to", "0.96"], "must be below --same-from, which is 0.95"),
    ],
)
def test_what_cannot_be_done_is_refused_before_a_broker_is_asked(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    judged("judged.jsonl", 1)
    assert main(["hits", "label", *arguments]) == exit_codes.USAGE
    assert said in capsys.readouterr().err
