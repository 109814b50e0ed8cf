"""Who has acknowledged a command, and how what is missing is told."""

from __future__ import annotations

import pytest

from refrain.ops.control.acknowledged import Acknowledged, GroupProgress
from refrain.schemas.acknowledgements import Acknowledgement


def said(processor: str, worker: str, version: int) -> bytes:
    return Acknowledgement(processor=processor, worker=worker, version=version, at_ms=0).encode()


def after(*records: bytes | None, version: int = 5) -> Acknowledged:
    acknowledged = Acknowledged(version)
    for record in records:
        acknowledged.add(record)
    return acknowledged


def test_a_command_holds_when_every_shard_and_every_member_has_acknowledged_it() -> None:
    groups = {"classify": GroupProgress(frozenset({"c-1"})), "populate": GroupProgress(frozenset({"p-1"}))}
    most = (said("lookup", "0", 5), said("lookup", "1", 9), said("classify", "c-1", 5))
    assert not after(*most).progress(range(2), groups).complete
    assert after(*most, said("populate", "p-1", 6)).progress(range(2), groups).complete


def test_an_earlier_command_is_not_this_one() -> None:
    assert after(said("lookup", "0", 4)).progress(range(1), {}).shards_missing == (0,)


def test_a_group_without_members_is_not_waited_for() -> None:
    assert after(said("lookup", "0", 5)).progress(range(1), {"classify": GroupProgress()}).complete


def test_a_group_that_is_being_shared_out_is_looked_at_again() -> None:
    progress = after(said("lookup", "0", 5)).progress(range(1), {"classify": GroupProgress(settled=False)})
    assert not progress.complete
    assert progress.missing() == "the group of classify is not settled"


def test_a_member_that_has_left_is_not_waited_for_and_one_that_came_is() -> None:
    acknowledged = after(said("lookup", "0", 5), said("classify", "old", 5))
    progress = acknowledged.progress(range(1), {"classify": GroupProgress(frozenset({"new"}))})
    assert progress.missing() == "1 of 1 classify worker has not acknowledged"


def test_what_cannot_be_read_is_nobodys_acknowledgement() -> None:
    assert after(None, b"junk", b'{"v":2}').progress(range(1), {}).shards_missing == (0,)


@pytest.mark.parametrize(
    ("done", "shards", "missing"),
    [
        ((0, 1, 2, 4, 5, 6), 8, "shards 3, 7 have not acknowledged"),
        ((0,), 2, "shard 1 has not acknowledged"),
        ((), 8, "all 8 shards have not acknowledged"),
        ((), 1, "the only shard has not acknowledged"),
        ((0,), 32, "31 of 32 shards have not acknowledged"),
        ((0, 1), 2, ""),
    ],
)
def test_missing_shards_are_named(done: tuple[int, ...], shards: int, missing: str) -> None:
    acknowledged = after(*(said("lookup", str(number), 5) for number in done))
    assert acknowledged.progress(range(shards), {}).missing() == missing


def test_shards_and_workers_are_named_together() -> None:
    acknowledged = after(said("lookup", "0", 5), said("classify", "a", 5))
    progress = acknowledged.progress(
        (0, 3, 7), {"classify": GroupProgress(frozenset("ab")), "populate": GroupProgress()}
    )
    assert progress.missing() == "shards 3, 7 and 1 of 2 classify workers have not acknowledged"
    assert progress.summary() == "1 of 3 shards, 1 of 2 classify, 0 of 0 populate"
