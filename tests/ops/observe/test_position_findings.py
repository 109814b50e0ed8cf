"""The doctor tells a single reset from an upgrade, and names topics that were made anew."""

from __future__ import annotations

import pytest

from refrain.ops.observe.findings import Finding
from refrain.ops.observe.position_findings import UPGRADE_MS, position_findings
from refrain.streams.kafka.incarnation import SetByHand, Sign

NOW_MS = 1_760_000_000_000
OK = Sign("id")
Signs = dict[tuple[str, str], dict[int, Sign | None]]


def look(signs: Signs, rest: str = "") -> list[Finding]:
    """What is found where commits are signed so, each with more behind the sign."""
    notes = {each: {n: f"{sign or ''}{rest}" for n, sign in said.items()} for each, said in signs.items()}
    return position_findings(notes, "id", "documents-1", NOW_MS)


def by_hand(offset: int, ago_ms: int = 90_000) -> Sign:
    return Sign("id", SetByHand(offset, NOW_MS - ago_ms))


def test_what_workers_committed_is_well() -> None:
    found: Signs = {("classify", "requests"): {0: OK, 1: None}, ("populate", "completions"): {}}
    assert [row.state for row in look(found)] == ["ok"]


def test_what_was_set_by_hand_is_told_in_one_row_with_how_to_go_back() -> None:
    signs: dict[int, Sign | None] = {3: by_hand(40), 5: by_hand(0, 100_000), 6: OK}
    (row,) = look({("lookup", "journal"): signs, ("govern", "control"): {0: OK}})
    assert row.state == "warn"
    assert "lookup was set by hand" in row.seen
    assert "in partition 3 at 40, 5 at 0;" in row.seen
    assert "set it back" in row.do


@pytest.mark.parametrize(
    "signs",
    [
        {("populate", "completions"): {0: by_hand(7), 1: by_hand(9)}, ("govern", "control"): {0: OK}},
        {("populate", "completions"): {0: by_hand(7), 1: OK}, ("govern", "control"): {0: by_hand(3), 1: OK}},
        {("populate", "completions"): {0: by_hand(7)}, ("govern", "control"): {0: by_hand(3, 90_000 + UPGRADE_MS)}},
        {("classify", "requests"): {0: by_hand(7)}, ("classify", "more"): {0: by_hand(3)}},
    ],
    ids=["one whole group", "parts of two", "two, far apart", "one group of two topics"],
)
def test_a_reset_of_some_is_told_as_such(signs: Signs) -> None:
    rows = look(signs)
    assert all("was set by hand" in row.seen and row.state == "warn" for row in rows)


def test_an_upgrade_is_told_once_as_what_it_may_be_too() -> None:
    signs: Signs = {
        ("populate", "completions"): {0: by_hand(7), 1: by_hand(9, 80_000), 2: None},
        ("govern", "control"): {0: by_hand(3)},
        ("verify", "doubts"): {0: by_hand(3), 1: OK},
        ("upstream", "forwards"): {0: None, 1: None},
    }
    upgrade, other = look(signs)
    assert "govern, populate went on from positions that an older version had committed, or that" in upgrade.seen
    assert upgrade.do.startswith("after an upgrade: nothing")
    assert "verify was set by hand" in other.seen


@pytest.mark.parametrize("topic", ["forwards", "completions", "requests", "control", "observations"])
def test_a_topic_that_was_made_anew_is_named_with_what_is_lost(topic: str) -> None:
    signs: dict[int, Sign | None] = {0: OK, 1: Sign("id", None, NOW_MS - 300_000), 2: None}
    (row,) = look({("reader", topic): signs})
    assert row.state == "warn"
    assert (
        row.seen == f"{topic} was deleted and made anew 5 min ago: what `reader` had not read of the one before is lost"
    )
    assert row.do.endswith("see the handbook")


@pytest.mark.parametrize(("rest", "lost"), [("", False), ("documents-1", False), ("documents-0", True)])
def test_shards_that_are_in_another_documents_are_named(rest: str, lost: bool) -> None:
    rows = look({("lookup", "journal"): {0: OK, 4: None}, ("populate", "completions"): {1: OK}}, rest)
    assert [row.state for row in rows] == ["fail" if lost else "ok"]
    assert ("has not what 2 shards kept: 0, 4" in rows[0].seen) == lost
    another_journal = look({("lookup", "journal"): {0: Sign("before")}}, rest)
    assert [row.state for row in another_journal] == ["ok"]
