"""What an auditor types wrongly is told as wrong usage, by its option, before any broker is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from refrain.ops.cli import main
from refrain.ops.terminal import exit_codes

LATER, EARLIER = "2026-03-02", "2026-03-01"


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFRAIN_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("COLUMNS", "200")
    Path("p.yaml").write_text("categories: {}\n")
    Path("there").write_text("")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["audit", "--from", LATER, "--to", EARLIER], "--from: 2026-03-02 is not before --to"),
        (["audit", "--from", "1h", "--to", "2h ago"], "--from: 1h is not before --to"),
        (["audit", "--from", "yesterday"], "or a span back: 30s, 10m, 2h, 7d"),
        (["audit", "--make-key", ""], "it is empty: give a value"),
        (["audit", "--make-key", "there"], "there exists: a key is not written over"),
        (["audit", "--seal", "there"], "there exists: a seal is not written over"),
        (["audit", "--seal", "."], ". is a folder: name a file"),
        (["audit", "--from-snapshot", "--snapshots", "no"], "no is no folder: `refrain snapshot --location no`"),
        (["whatif", "p.yaml", "--from", LATER, "--to", EARLIER], "--from: 2026-03-02 is not before --to"),
        (["whatif", "p.yaml", "--changed", "no/c.jsonl"], "no/c.jsonl cannot be written: no is no folder"),
        (["whatif", "p.yaml", "--changed", "."], ". is a folder"),
        (["explain", " "], "it is empty: give a value"),
        (["explain", "x", "--html", "no/x.html"], "no/x.html cannot be written: no is no folder"),
        (["served", "--entry", "x"], "'x' is no id of an entry: that is PARTITION-OFFSET-TAG"),
        (["served", "--policy", "1", "--from", LATER, "--to", EARLIER], "--from: 2026-03-02 is not before --to"),
        (["replay", "--into", ""], "it is empty: give a value"),
        (["replay", "--into", "a b"], "'a b' is no prefix"),
        (["replay", "--into", "refrain."], "'refrain.' is the live prefix"),
        (["replay", "--into", "c.", "--from", "20", "--until", "10"], "--from: 20 lies behind --until, which is 10"),
        (["replay", "--into", "c.", "--from", "1h", "--until", "2h"], "--from: 1h lies behind --until"),
        (["export", "journal", "x", "--from", "20", "--to", "10"], "--from: 20 lies behind --to, which is 10"),
        (["export", "journal", "there"], "there exists: name another file, or say --force"),
        (["export", "entries", "."], ". is a folder: name a file"),
        (["state", "--at", "soon"], "or a span back: 30s, 10m, 2h, 7d"),
        (["invalidate", "--all", "--before", "soon"], "or a span back"),
    ],
)
def test_a_wrong_value_is_wrong_usage(words: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == exit_codes.USAGE
    assert said in re.sub(r"[\s│]+", " ", capsys.readouterr().err)
