"""A seal tells from where on a log is another one, and names what was done to it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from refrain.ops.audit.seal import against
from refrain.ops.audit.seal.model import SealedLog
from refrain.streams.kafka.interface import Record
from tests.ops.audit.seal.logs import STEP, log, proof, renumbered, said, seal

AT = [0, 3, STEP - 1, STEP, 25, 48, 49]
"""Places at both ends, within a step and at its bounds."""


@pytest.mark.parametrize("count", [0, 1, STEP - 1, STEP, STEP + 1, 50])
@pytest.mark.parametrize("gap_every", [0, 3])
def test_the_same_log_is_proven_and_what_came_after_is_none_of_it(count: int, gap_every: int) -> None:
    whole = log(60, gap_every=gap_every)
    found = proof(whole[:count], whole)
    assert (found.sealed, found.proven, found.gone, found.differences) == (count, count, 0, ())
    assert found.other_from is None


@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize(
    "changed",
    [
        {"value": b"another"},
        {"value": None},
        {"value": b""},
        {"key": b"another"},
        {"key": None},
        {"timestamp_ms": 1},
        {"headers": ()},
        {"headers": (("trace", b"other"), ("empty", None))},
        {"headers": (("trace", b"0"), ("empty", b""))},
        {"headers": (), "headers_unreadable": True},
    ],
    ids=str,
)
def test_a_changed_record_is_named(at: int, changed: dict[str, Any]) -> None:
    live = log(55)
    live[at] = live[at]._replace(**changed)
    found = proof(log(50), live)
    assert said(found.differences) == [("changed", at, at, None)]
    assert found.proven == 50 - (2 if at >= 48 else STEP)


def test_bytes_that_move_from_key_to_value_are_a_change() -> None:
    live = log()
    live[5] = live[5]._replace(key=b"key", value=b"-5value 5")
    assert said(proof(log(), live).differences) == [("changed", 5, 5, None)]


@pytest.mark.parametrize("at", AT[:-1])
def test_a_deleted_record_is_named_where_its_offset_stays_empty(at: int) -> None:
    live = log(55)
    del live[at]
    assert said(proof(log(50), live).differences) == [("deleted", at, at, None)]


@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize("appended", [0, 5])
def test_a_deleted_record_is_named_where_the_log_was_written_again(at: int, appended: int) -> None:
    live = log(50 + appended)
    del live[at]
    cut = at == 49 and not appended
    assert said(proof(log(50), renumbered(live)).differences) in (
        [("truncated" if cut else "deleted", at, at, None)],
        # With others behind it nobody can tell: another record stands at its offset.
        [("changed", at, at, None)] if at == 49 else [],
    )


@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize("appended", [0, 5])
@pytest.mark.parametrize("many", [1, STEP + 3])
def test_inserted_records_are_named(at: int, appended: int, many: int) -> None:
    live = log(50 + appended)
    made = [live[0]._replace(value=b"made up %d" % number) for number in range(many)]
    live[at:at] = made
    found = proof(log(50), renumbered(live))
    assert said(found.differences) == [("inserted", at, at + many - 1, None)]
    assert found.differences[0].records == many


def test_a_record_in_a_gap_of_the_offsets_is_inserted() -> None:
    whole = log(gap_every=3)
    live = sorted([*whole, whole[0]._replace(offset=7, value=b"made up")], key=lambda record: record.offset)
    assert said(proof(whole, live).differences) == [("inserted", 7, 7, None)]


def test_a_repeated_record_is_inserted() -> None:
    live = log()
    live.insert(20, live[19])
    assert said(proof(log(), renumbered(live)).differences) == [("inserted", 20, 20, None)]


@pytest.mark.parametrize("at", [0, 3, STEP - 1, 25, 48])
@pytest.mark.parametrize("far", [1, 2, STEP + 1])
def test_two_records_that_changed_places_are_reordered(at: int, far: int) -> None:
    other = min(at + far, 49)
    live = log()
    live[at], live[other] = live[other], live[at]
    found = said(proof(log(), renumbered(live)).differences)
    assert {kind for kind, *_ in found} == {"reordered"}
    wanted = {("reordered", at, at, other), ("reordered", other, other, at)}
    assert set(found) == wanted if other - at > 1 else len(set(found) & wanted) == len(found) == 1


def test_a_cut_end_is_truncated() -> None:
    found = proof(log(), log()[:37])
    assert said(found.differences) == [("truncated", 37, 49, None)]
    assert (found.proven, found.other_from) == (32, 37)


def test_an_emptied_log_is_truncated_from_its_first_record_on() -> None:
    assert said(proof(log(), []).differences) == [("truncated", 0, 49, None)]


def test_a_cut_end_that_was_written_anew_is_changed_from_there_on() -> None:
    anew = [record._replace(value=b"anew %d" % record.offset) for record in log(70)[37:]]
    assert said(proof(log(), [*log()[:37], *anew]).differences) == [("changed", 37, 49, None)]


def test_the_same_records_at_other_offsets_are_renumbered() -> None:
    found = proof(log(), renumbered(log(), 100))
    assert said(found.differences) == [("renumbered", 0, 49, 100)]
    assert found.proven == 0


def test_several_differences_are_each_named() -> None:
    live = log(50)
    live[4] = live[4]._replace(value=b"other")
    live[20] = live[20]._replace(key=None)
    del live[30:33]
    live[10], live[12] = live[12]._replace(offset=10), live[10]._replace(offset=12)
    assert said(proof(log(), live).differences) == [
        ("changed", 4, 4, None), ("reordered", 10, 10, 12), ("reordered", 12, 12, 10), ("changed", 20, 20, None),
        ("deleted", 30, 32, None),
    ]  # fmt: skip


@pytest.mark.parametrize("begins", [1, STEP, STEP + 5, 49, 50, 70])
def test_a_front_that_retention_took_is_told_and_the_rest_is_proven(begins: int) -> None:
    found = proof(log(50), log(80)[begins:], begins)
    whole_steps_from = -(-begins // STEP) * STEP
    assert found.differences == ()
    assert (found.gone, found.proven) == (min(begins, 50), max(0, 50 - whole_steps_from))


def test_a_change_behind_a_front_that_retention_took_is_named() -> None:
    for at in (11, 15, 16, 40):
        live = log(80)
        live[at] = live[at]._replace(value=b"other")
        assert said(proof(log(50), live[11:], 11).differences) == [("changed", at, at, None)]


def test_deleted_first_records_of_a_log_that_still_begins_there_are_deleted() -> None:
    assert said(proof(log(), log()[3:], 0).differences) == [("deleted", 0, 2, None)]


def test_a_change_that_a_print_does_not_show_is_named_by_its_step() -> None:
    sealed = seal(log())
    other = log()
    other[12] = other[12]._replace(value=b"other")
    forged = seal(other)
    rungs = list(sealed.rungs)
    rungs[1] = rungs[1].model_copy(update={"prints": forged.rungs[1].prints})
    found = against.prove(sealed.model_copy(update={"rungs": tuple(rungs)}), 0, other)
    assert [(each.change.value, each.first, each.last, each.exact) for each in found.differences] == [
        ("changed", 8, 15, False)
    ]


def test_a_chain_is_of_its_topic_and_partition() -> None:
    swapped = SealedLog.model_validate({**seal(log()).model_dump(), "partition": 4})
    found = against.prove(swapped, 0, log())
    assert (found.proven, found.other_from) == (50 - STEP, 0)


def _delete(rows: list[Record], rng: random.Random) -> None:
    del rows[rng.randrange(len(rows))]


def _insert(rows: list[Record], rng: random.Random) -> None:
    rows.insert(rng.randrange(len(rows)), rows[0]._replace(value=b"made %d" % rng.getrandbits(60)))


def _change(rows: list[Record], rng: random.Random) -> None:
    at = rng.randrange(len(rows))
    rows[at] = rows[at]._replace(value=b"other %d" % rng.getrandbits(60))


def _swap(rows: list[Record], rng: random.Random) -> None:
    left, right = sorted(rng.sample(range(len(rows)), 2))
    rows[left], rows[right] = rows[right], rows[left]


@pytest.mark.parametrize("renumber", [True, False])
@pytest.mark.parametrize("seed", range(40))
def test_no_difference_is_missed_and_the_first_is_named(seed: int, renumber: bool) -> None:
    rng = random.Random(seed)
    whole = log(60)
    live = list(whole)
    edits: list[Callable[[list[Record], random.Random], None]] = [_delete, _insert, _change, _swap]
    for _ in range(rng.randint(1, 5)):
        rng.choice(edits)(live, rng)
    live = renumbered(live) if renumber else sorted(live, key=lambda record: record.offset)
    if live == whole:
        return
    first = next((a.offset for a, b in zip(whole, live, strict=False) if a != b), min(len(whole), len(live)))
    found = proof(whole, live)
    same = min(first, len(live))
    if live[: len(whole)] == whole:
        assert found.differences == ()
    else:
        assert found.other_from is not None
        assert same - STEP <= found.other_from <= max(first, same) + 1
        assert found.proven < 60
