"""The life of an entry: admitted, served, judged, withdrawn, evicted, and by what."""

from __future__ import annotations

from typing import Any

import pytest

from refrain.ops.explain import lives
from refrain.ops.explain.command import explained
from refrain.schemas.base import Message
from refrain.schemas.control import Invalidate
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import EntriesInvalidated, HitJudged
from refrain.streams.kafka.interface import Outgoing
from tests.ops.explain.recording import Recording
from tests.streams.shard.handlers.test_imported import imported
from tests.streams.shard.journal import near, vector


def entry_of(decisions: list[Decision], id_: str) -> str:
    return next(each.entry_id or "" for each in decisions if each.id == id_)


def told(run: Recording, hit: str) -> dict[str, Any]:
    return explained(run.cluster, entry_of(run.run(), hit)).json


def test_an_entry_that_serves_is_kept_and_its_uses_are_counted() -> None:
    run = Recording()
    first = run.ask("a", vector(1.0), "so")
    hits = [run.ask("b", near(0.95), after_ms=1_000) for _ in range(3)]
    said = told(run, hits[0])
    assert (said["kept"], said["served"]) == (True, 3)
    assert [(each["what"], each["by"]) for each in said["life"]] == [
        ("admitted", f"the answer to {first}"),
        ("served first", hits[0]),
        ("served last, 3 times in all", hits[2]),
    ]


def test_an_imported_entry_says_where_it_came_from() -> None:
    run = Recording()
    imported(run.journal, 7, "the question of another cache", tags=("t",))
    hit = run.ask("b", near(0.95), tags=("t",))
    run.journal.add(EntriesInvalidated(version=8, tag="t"))
    run.journal.tick()
    said = told(run, hit)
    assert said["question"] == "the question of another cache"
    assert [(each["what"], each["by"]) for each in said["life"]] == [
        ("imported", "3-7-abcdefgh (command 7)"),
        ("served first", hit),
        ("withdrawn", "command 8 of `control`"),
        ("gone", "withdrawn by command 8 of `control`"),
    ]


@pytest.mark.parametrize(
    ("order", "what", "by"),
    [
        (EntriesInvalidated(version=7, source_id="doc-7"), "withdrawn", "command 7 of `control`"),
        (EntriesInvalidated(version=7, tag="t"), "withdrawn", "command 7 of `control`"),
        (HitJudged(version=8, decision_id="d", correct=False, who="eve", entry_id="0-2--_journa", partition=0,
                   category="code"), "judged wrong", "eve (command 8)"),
    ],
)  # fmt: skip
def test_what_took_an_entry_away_is_named(order: Message, what: str, by: str) -> None:
    run = Recording()
    run.ask("a", vector(1.0), "so", tags=("t",), sources=({"id": "doc-7"},))
    hit = run.ask("b", near(0.95), tags=("t",))
    run.journal.add(order)
    for _ in range(30):
        run.journal.tick()
    said = told(run, hit)
    assert (what, by) in [(each["what"], each["by"]) for each in said["life"]]
    assert said["kept"] is False
    assert said["sentence"].endswith(f"it is gone: {what} by {by}")


def test_who_withdrew_an_entry_and_why_is_told_where_the_command_is_still_there() -> None:
    run = Recording()
    run.ask("a", vector(1.0), "so", tags=("t",))
    hit = run.ask("b", near(0.95), tags=("t",))
    command = Invalidate(who="eve", why="the fee is 3 %", tag="t")
    run.cluster.append([Outgoing("control", None, command.encode())])
    version = run.cluster.end("control", 0) - 1
    run.journal.add(EntriesInvalidated(version=version, tag="t"))
    for _ in range(30):
        run.journal.tick()
    said = told(run, hit)
    (withdrawn,) = [each for each in said["life"] if each["what"] == "withdrawn"]
    assert (withdrawn["by"], withdrawn["why"]) == (f"eve (command {version})", "the fee is 3 %")
    assert said["sentence"].endswith(f"it is gone: withdrawn by eve (command {version})")


@pytest.mark.parametrize("order", [
    EntriesInvalidated(version=7, source_id="doc-8"),
    EntriesInvalidated(version=7, entry_id="0-3--_journa"),
    HitJudged(version=8, decision_id="d", correct=False, who="eve", entry_id="0-3--_journa"),
])  # fmt: skip
def test_orders_about_others_are_no_part_of_its_life(order: Message) -> None:
    run = Recording()
    run.ask("a", vector(1.0), "so", sources=({"id": "doc-7"},))
    hit = run.ask("b", near(0.95))
    run.journal.add(order)
    said = told(run, hit)
    assert [each["what"] for each in said["life"]] == ["admitted", "served first"]
    assert said["kept"] is True


def test_an_entry_that_had_to_make_room_is_told_as_evicted() -> None:
    run = Recording(quota={"cap": 2})
    first = run.ask("a", vector(1.0), "so")
    for number in range(1, 5):
        run.ask(f"q{number}", vector(*[0.0] * number, 1.0), f"a{number}", after_ms=1_000)
    run.run()
    said = explained(run.cluster, "0-2--_journa").json
    assert said["life"][0]["by"] == f"the answer to {first}"
    assert said["kept"] is False
    assert "evicted for room" in said["sentence"]


def test_what_was_not_looked_through_is_not_said_to_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "LOOKED", 2)
    run = Recording()
    run.ask("a", vector(1.0), "so")
    hits = [run.ask(f"b{number}", near(0.95), after_ms=1_000) for number in range(30)]
    some, whole = told(run, hits[0]), explained(run.cluster, entry_of(run.run(), hits[0]), scan_all=True).json
    assert (some["kept"], some["complete"]) == (None, False)
    assert "not all of `documents` was looked through" in some["sentence"]
    assert (whole["kept"], whole["complete"], whole["served"]) == (True, True, 30)
