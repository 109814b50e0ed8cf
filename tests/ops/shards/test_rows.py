"""What `refrain shards` shows, refuses and warns of."""

from __future__ import annotations

import pytest

from refrain.ops.shards.rows import ShardRow, check_recovery, losses, remedy_of, shard_rows
from refrain.schemas.base import RecoveryWay
from refrain.schemas.stats import ShardStats, Stopped, StopReason
from refrain.streams.errors import BadInput


def stopped(reason: StopReason, position: int = 10) -> Stopped:
    return Stopped(reason=reason, position=position, offset=position, since_ms=1)


def report(partition: int, told: Stopped | None) -> ShardStats:
    return ShardStats(partition=partition, time_ms=1, policy_version=None, control=-1, entries=0, waiting=0,
                      withdrawing=0, loads={}, categories={}, stopped=told)  # fmt: skip


def row(reason: StopReason | None, first: int = 0, position: int = 10) -> ShardRow:
    return ShardRow(3, "w@h", position, first, 40, None if reason is None else stopped(reason, position))


def test_every_partition_of_the_journal_has_a_row() -> None:
    told = stopped(StopReason.JOURNAL_CUT)
    rows = shard_rows({1: (12, 40), 0: (0, 9)}, {0: 9}, {0: "w@h"}, {1: report(1, told), 0: report(0, None)})
    assert rows == [ShardRow(0, "w@h", 9, 0, 9, None), ShardRow(1, None, None, 12, 40, told)]
    assert rows[1].to_json()["remedy"] == "refrain shards recover 1 --from-watermark"
    assert rows[0].to_json()["stopped"] is None


@pytest.mark.parametrize("reason", StopReason)
def test_every_reason_has_a_remedy_and_what_it_names_is_taken(reason: StopReason) -> None:
    first = 20 if reason is StopReason.JOURNAL_CUT else 0
    named = remedy_of(3, stopped(reason))
    assert named
    ways = [way for way in RecoveryWay if f"recover 3 --{way.value}" in named]
    for way in ways:
        assert check_recovery(row(reason, first), way).reason is reason


def test_a_shard_that_works_is_not_recovered() -> None:
    with pytest.raises(BadInput, match="not stopped"):
        check_recovery(row(None), RecoveryWay.EMPTY)


@pytest.mark.parametrize(
    ("reason", "first", "how"),
    [
        (StopReason.STORE_DAMAGED, 0, RecoveryWay.WATERMARK),
        (StopReason.JOURNAL_CUT, 20, RecoveryWay.DOCUMENTS),
        (StopReason.UNKNOWN_VERSION, 0, RecoveryWay.WATERMARK),
        (StopReason.UNKNOWN_VERSION, 0, RecoveryWay.DOCUMENTS),
        (StopReason.UNKNOWN_VERSION, 0, RecoveryWay.EMPTY),
    ],
)
def test_a_way_that_does_not_help_is_refused(reason: StopReason, first: int, how: RecoveryWay) -> None:
    with pytest.raises(BadInput):
        check_recovery(row(reason, first), how)


def test_what_is_lost_is_told_before_it_is() -> None:
    hole = losses(row(StopReason.JOURNAL_CUT, 25), RecoveryWay.WATERMARK)
    assert "15 offsets" in hole
    assert "(10 to 24)" in hole
    assert "nothing is lost" in losses(row(StopReason.STORE_DAMAGED), RecoveryWay.DOCUMENTS)
    assert "all that this shard keeps" in losses(row(StopReason.DOCUMENTS_DAMAGED), RecoveryWay.EMPTY)
    assert "offsets" not in losses(row(StopReason.DOCUMENTS_DAMAGED), RecoveryWay.EMPTY)
