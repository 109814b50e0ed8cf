"""Reports of shards, added up."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from refrain.ops.observe.stats_totals import COUNTS, Span, rates, summarise, to_json, total
from refrain.ops.observe.stats_view import about
from refrain.schemas.documents import Tally
from refrain.schemas.stats import CategoryNow, ShardStats, Stopped, StopReason

TALLIES = st.builds(
    Tally,
    **{name: st.integers(0, 1_000) for name in COUNTS},
    left=st.dictionaries(st.sampled_from(["cap", "expired", "withdrawn"]), st.integers(1, 99)),
)


def now(asked: int = 0, hits: int = 0, **more: Any) -> CategoryNow:
    return CategoryNow(tally=Tally(asked=asked, hits=hits), **{"entries": 1, "room": 10, **more})


def report(partition: int, time_ms: int = 1_000, **categories: CategoryNow) -> ShardStats:
    return ShardStats(partition=partition, time_ms=time_ms, policy_version=3, control=4, entries=2, waiting=1,
                      withdrawing=0, loads={"m": partition / 10}, categories=categories)  # fmt: skip


def test_counts_add_up_and_what_shards_act_by_is_a_span() -> None:
    found = summarise([report(0, code=now(10, 4, threshold=0.9)), report(1, code=now(30, 6, threshold=0.88))], range(2))
    (row,) = found.rows
    assert (row.tally.asked, row.tally.hits, row.hit_rate) == (40, 10, 0.25)
    assert (row.entries, row.room, row.threshold, row.ttl_ms) == (2, 20, Span(0.88, 0.9), None)
    assert (found.entries, found.waiting, found.loads) == (4, 2, {"m": 0.1})


def test_a_category_may_be_known_to_some_shards_only() -> None:
    found = summarise([report(0, a=now(1)), report(1, b=now(2, off=True))], range(2))
    assert [(row.category, row.tally.asked, row.off, row.shards) for row in found.rows] == [
        ("a", 1, 0, 1),
        ("b", 2, 1, 1),
    ]
    assert [row.category for row in summarise([report(0, a=now(), b=now())], range(1), "b").rows] == ["b"]


def test_shards_without_a_report_and_the_oldest_report_are_named() -> None:
    found = summarise([report(0, 5_000), report(2, 2_000), report(9)], range(4))
    assert found.missing == (1, 3)
    lines = about(found, 5_000)
    assert "2 of 4 shards have reported, the oldest (shard 2) 3 s ago: each does when something changed" in lines
    assert "without a report: 1, 3: are their lookup workers running?" in lines


def test_nothing_reported_is_nothing() -> None:
    found = summarise([], range(2))
    assert (found.rows, found.oldest, found.missing) == ((), None, (0, 1))
    assert to_json(found, 0)["oldest_ms"] is None


def test_rates_are_what_was_added_in_a_second() -> None:
    before, after = (summarise([report(0, code=now(*counts))], range(1)) for counts in ((10, 4), (30, 9)))
    assert rates(before, after, 2.0) == {"code": (10.0, 0.25)}
    assert rates(after, after, 1.0) == {"code": (0.0, None)}
    assert rates(after, before, 1.0) == {}


@given(st.lists(TALLIES, max_size=5))
def test_every_count_is_the_sum_of_its_parts(tallies: list[Tally]) -> None:
    added = total(tallies)
    for name in COUNTS:
        assert getattr(added, name) == sum(getattr(tally, name) for tally in tallies)
    assert sum(added.left.values()) == sum(sum(tally.left.values()) for tally in tallies)


def test_json_has_every_figure() -> None:
    found = to_json(summarise([report(0, code=now(4, 1, threshold=0.9, ttl_ms=60))], range(1)), 2_500)
    code = found["categories"]["code"]
    assert found["oldest_ms"] == 1_500
    assert code["hit_rate"] == 0.25
    assert code["threshold"] == {"low": 0.9, "high": 0.9}
    assert set(COUNTS) <= set(code)


def test_stopped_shards_are_named() -> None:
    told = Stopped(reason=StopReason.JOURNAL_CUT, position=12, offset=12, since_ms=1)
    found = summarise([report(0), report(1).model_copy(update={"stopped": told})], range(2))
    assert "shard 1 is stopped at offset 12 (journal_cut): see `refrain shards list`" in about(found, 1_000)
    assert to_json(found, 1_000)["stopped"] == {"1": told.model_dump(mode="json")}
