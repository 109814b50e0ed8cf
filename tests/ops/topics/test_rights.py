"""The table of rights is the table of topics, and the reference's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refrain.ops.cli import main
from refrain.ops.topics.rights import RIGHTS, rights_of
from refrain.schemas.topics import ROLES, reads, writes

REFERENCE = Path(__file__).parents[3] / "ops" / "REFERENCE.md"


@pytest.mark.parametrize("role", ROLES)
def test_each_right_of_the_table_of_topics_is_told_once_and_no_other(role: str) -> None:
    for operation, wanted in (("Read", reads(role)), ("Write", writes(role))):
        told = [topic for right in rights_of([role]) if right.operation == operation for topic in right.topics]
        assert sorted(told) == sorted(wanted)


def test_each_right_says_why_and_what_a_hostile_holder_could_do() -> None:
    assert all(right.why and right.hostile for right in RIGHTS)


def test_the_reference_has_the_table() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    for right in RIGHTS:
        topics = "all" if len(right.topics) > 9 else ", ".join(f"`{topic}`" for topic in right.topics)
        assert f"| `{right.role}` | {right.operation} | {topics} | {right.why} | {right.hostile} |" in text


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRAIN_PREFIX", "refrain.")
    assert main(["topics", "acls", "--why", "--role", "connectors", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["operation"], row["topics"]) for row in rows] == [
        ("Read", ["refrain.forwards"]), ("Write", ["refrain.completions"]), ("Write", ["refrain.load"]),
    ]  # fmt: skip
    assert all(row["why"] and row["hostile"] for row in rows)
    assert main(["topics", "acls", "--why"]) == 0
    out = capsys.readouterr().out
    assert "connectors" in out
    assert "kafka-acls.sh" not in out
