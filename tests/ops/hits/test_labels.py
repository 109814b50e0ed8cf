"""Lines of labelled pairs, and the judgements that are made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refrain.ops.data import lines
from refrain.ops.hits import labels
from refrain.ops.hits.judgements import WHY, judgements, send_all
from refrain.ops.hits.near import NearDecision
from refrain.ops.hits.texts import HitPair
from refrain.schemas.control import Judge
from refrain.streams.errors import BadInput, CommandRefused


def line(question: str, same: bool | None, *, decision: str = "0-1-x", was_hit: bool = True) -> dict[str, object]:
    met = NearDecision(decision, 0, 1, "code", "e", 0.91, 0.9, "similar_text", was_hit)
    return labels.line_of(HitPair(question, "kept ü", met), same)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "hits.jsonl"


def test_lines_are_those_that_calibrate_and_evaluate_read(file: Path) -> None:
    labels.add(file, [line("a", True), line("b", False)])
    found, bad = lines.pairs(lines.lines_of(file))
    assert [(pair.text_a, pair.text_b, pair.label, pair.row["category"]) for pair in found] == [
        ("a", "kept ü", True, "code"),
        ("b", "kept ü", False, "code"),
    ]
    assert bad == []
    assert json.loads(file.read_text().splitlines()[0]) == {
        "text_a": "a", "text_b": "kept ü", "label": 1, "category": "code", "similarity": 0.91, "threshold": 0.9,
        "decision": "0-1-x", "partition": 0, "offset": 1, "reason": "similar_text", "was_hit": True,
    }  # fmt: skip


def test_a_line_is_in_the_file_before_the_next_is_made(file: Path) -> None:
    seen = []

    def made() -> object:
        yield line("a", True)
        seen.append(file.read_text().count("\n"))
        yield line("b", True)

    labels.add(file, made())  # type: ignore[arg-type]
    assert seen == [1]


def test_lines_are_added_behind_a_last_line_that_was_left_open(file: Path) -> None:
    file.write_text('{"text_a": "x", "text_b": "y", "label": 1}')
    labels.add(file, [line("a", False)])
    assert [pair.text_a for pair in labels.known_labels(file).pairs] == ["x", "a"]


def test_labels_of_others_may_be_texts_and_those_without_one_are_open(file: Path) -> None:
    rows = [{"text_a": "a", "text_b": "b", "label": each} for each in (1, "0", True, None, "maybe")]
    file.write_text("\n".join(map(json.dumps, rows)) + '\n{"text_a": "a", "text_b": "b"}\n')
    found = labels.read_labels(file)
    assert ([pair.same for pair in found.pairs], found.open) == ([True, False, True], 2)
    assert [(each.line, each.why) for each in found.bad] == [
        (5, "label: neither 1 nor 0, nor null for a pair that nobody judged")
    ]


def test_the_file_of_labels_must_be_whole(file: Path) -> None:
    assert labels.known_labels(file).pairs == []
    file.write_text("{\n")
    with pytest.raises(BadInput, match=r"hits\.jsonl:1: not JSON.*mend or remove the line"):
        labels.known_labels(file)


def pairs_of(file: Path, *rows: dict[str, object]) -> list[labels.LabelledPair]:
    labels.add(file, rows)
    return labels.read_labels(file).pairs


def test_pairs_that_were_labelled_before_are_not_new(file: Path) -> None:
    known = pairs_of(file, line("a", True))
    given = pairs_of(file.with_name("b"), line("a", False), line("b", True), line("b", False))
    assert [(pair.text_a, pair.same) for pair in labels.new_pairs(given, known)] == [("b", False)]


def test_served_hits_are_judged_by_their_last_label_and_only_where_it_is_news(file: Path) -> None:
    pairs = pairs_of(
        file,
        line("a", True, decision="0-1-x"),
        line("b", False, decision="0-2-x"),
        line("c", False, decision="0-3-x", was_hit=False),
        line("d", True, decision="0-4-x"),
        line("e", True, decision="0-5-x"),
        line("f", False, decision="0-5-x"),
        {"text_a": "g", "text_b": "h", "label": 0},
    )
    assert judgements(pairs, {"0-4-x": True, "0-2-x": True}, "ana") == [
        Judge(who="ana", decision_id="0-1-x", partition=0, offset=1, correct=True),
        Judge(who="ana", why=WHY, decision_id="0-2-x", partition=0, offset=1, correct=False),
        Judge(who="ana", why=WHY, decision_id="0-5-x", partition=0, offset=1, correct=False),
    ]


@pytest.mark.parametrize("edited", [{}, {"partition": None, "offset": "930"}, {"partition": True, "offset": -1}])
def test_a_line_without_the_place_of_its_decision_is_judged_by_the_id(file: Path, edited: dict[str, object]) -> None:
    whole = line("a", True)
    del whole["partition"], whole["offset"]
    assert judgements(pairs_of(file, whole | edited), {}, "ana") == [
        Judge(who="ana", decision_id="0-1-x", correct=True)
    ]


def test_a_refused_judgement_is_told_and_keeps_none_back() -> None:
    sent: list[str] = []

    def send(command: Judge) -> None:
        if command.decision_id == "0-1-x":
            raise CommandRefused("govern refused it: unknown_decision")
        sent.append(command.decision_id)

    commands = [Judge(who="ana", decision_id=f"0-{n}-x", correct=n > 2) for n in (1, 2, 3)]
    assert send_all(commands, send) == (1, 1, [("0-1-x", "govern refused it: unknown_decision")])
    assert sent == ["0-2-x", "0-3-x"]
