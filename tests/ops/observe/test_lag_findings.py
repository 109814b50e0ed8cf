"""The doctor never calls a group well that nobody works for, that lags, or whose next record is gone."""

from __future__ import annotations

import pytest

from refrain.ops.cluster.held import Held
from refrain.ops.cluster.lag import Behind, LostPosition, Stranger, lost_positions
from refrain.ops.observe.findings import Finding
from refrain.ops.observe.lag_findings import LAG_WARN, WAIT_MS_MAX, lag_findings
from refrain.streams.settings import Settings, Upstream

NOW_MS = 10_000_000
SETTINGS = Settings(upstream=Upstream(base_url="http://127.0.0.1:8000/v1", timeout_ms=30_000))


def look(found: Behind, group: str = "lookup", topic: str = "journal", settings: Settings = SETTINGS) -> list[Finding]:
    return lag_findings(settings, group, topic, found, NOW_MS)


def test_a_group_that_keeps_up_is_ok() -> None:
    (row,) = look(Behind(3, 1, NOW_MS - 500))
    assert (row.state, row.seen) == ("ok", "lookup: 3 records behind, 1 member, the oldest waits 500 ms")


@pytest.mark.parametrize(("group", "state"), [("lookup", "fail"), ("classify", "fail"), ("upstream", "fail"),
                                              ("adapt", "warn"), ("verify", "warn")])  # fmt: skip
def test_a_processor_that_is_down_is_never_ok_also_where_nothing_waits(group: str, state: str) -> None:
    (row,) = look(Behind(0, 0), group)
    assert row.state == state
    assert f"refrain run {group}" in row.do
    (row,) = look(Behind(1, 0), group)
    assert row.state == "fail"


def test_a_connector_of_ones_own_is_no_processor_that_is_down() -> None:
    (row,) = look(Behind(0, 0), "upstream", "forwards", Settings())
    assert row.state == "ok"
    assert "your own" in row.seen


def test_a_group_that_stands_fails_by_how_long_the_oldest_record_waits() -> None:
    stands = Behind(1, 2, NOW_MS - WAIT_MS_MAX - 1)
    assert [row.state for row in look(stands)] == ["fail"]
    assert [row.state for row in look(stands, "upstream", "forwards")] == ["ok"], "a call takes its time"
    assert [row.state for row in look(Behind(LAG_WARN + 1, 2, NOW_MS - 5))] == ["warn"]


def test_a_position_that_the_log_has_cut_fails_also_while_nothing_lags() -> None:
    (row,) = look(Behind(0, 1, lost=(LostPosition(3, 10, 25, 25),)))
    assert row.state == "fail"
    assert "at 10 in partition 3 of journal, which begins at 25: 15 offsets" in row.seen
    assert "refrain shards list" in row.do
    rows = look(Behind(0, 0, lost=(LostPosition(0, 90, 0, 4),)), "populate", "completions")
    assert "made again" in rows[0].seen
    assert [each.state for each in rows] == ["fail", "fail"]


@pytest.mark.parametrize(
    ("since_ms", "told"),
    [
        (NOW_MS - WAIT_MS_MAX - 60_000, "open for 2 min holds up partition 3 of journal at 17: 5 offsets wait"),
        (NOW_MS + 60_000, "open holds up partition 3 of journal at 17: 5 offsets wait"),
        (None, "open holds up partition 3"),
        (NOW_MS - 500, None),
    ],
)
def test_a_transaction_that_is_left_open_fails_and_one_of_a_worker_does_not(
    since_ms: int | None, told: str | None
) -> None:
    row = look(Behind(0, 1, held=(Held(3, 17, 5, since_ms),)))[0]
    assert row.state == ("ok" if told is None else "fail")
    assert told is None or told in row.seen
    assert told is None or "abort" in row.do


def test_positions_are_lost_before_the_first_and_behind_the_last_record() -> None:
    found = lost_positions({0: 5, 1: 9, 2: 9, 3: 9, 4: 12, 7: 1}, {0: 5, 1: 10, 2: 10, 3: 11, 4: 0},
                           {0: 9, 1: 10, 2: 12, 3: 11, 4: 10})  # fmt: skip
    assert [each.partition for each in found] == [2, 3, 4]


def test_a_member_that_is_no_worker_is_named_with_what_it_has() -> None:
    taken, idle = Stranger("rdkafka@10.0.0.7", (1, 4)), Stranger("tool@10.0.0.8", ())
    first, second = look(Behind(0, 3, strangers=(taken, idle)))
    assert (first.state, second.state) == ("fail", "warn")
    assert "rdkafka@10.0.0.7" in first.seen
    assert "2 partitions" in first.seen
    assert [row.state for row in look(Behind(0, 1, strangers=(taken,)), "upstream", "forwards")] == ["ok"]
