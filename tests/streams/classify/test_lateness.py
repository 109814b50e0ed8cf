"""Which questions are late, and how many more are likely to be."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.classify.lateness import Lateness
from refrain.streams.kafka.interface import Record

WAIT_MAX_MS = 500


def batch(*partitions: int) -> list[Record]:
    return [Record("requests", number, offset, 0, None, None) for offset, number in enumerate(partitions)]


def late(lateness: Lateness, *waits_ms: int) -> list[bool]:
    """Whether each question of partition 0 with those waits is late."""
    records = batch(*[0] * len(waits_ms))
    found = lateness.tell(records, waits_ms)
    return [(record.partition, record.offset) in found for record in records]


def test_a_question_that_waited_as_long_as_it_may_is_in_time() -> None:
    assert late(Lateness(WAIT_MAX_MS), 0, WAIT_MAX_MS, WAIT_MAX_MS + 1) == [False, False, True]


def test_behind_a_late_one_all_are_late_until_the_queue_is_half_as_long() -> None:
    lateness = Lateness(WAIT_MAX_MS)
    assert late(lateness, 400, 501, 400, 251) == [False, True, True, True]
    assert late(lateness, 251, 250, 300, 500) == [True, False, False, False]


def test_partitions_are_late_by_themselves() -> None:
    lateness = Lateness(WAIT_MAX_MS)
    assert lateness.tell(batch(0, 1, 0, 1), [501, 300, 300, 300]) == {(0, 0), (0, 2)}


@pytest.mark.parametrize("waits_ms", [[10**9], [10**9, 10**9 - 5]])
def test_without_a_limit_none_is_late(waits_ms: Sequence[int]) -> None:
    lateness = Lateness(0)
    assert not any(late(lateness, *waits_ms))
    assert lateness.ahead == 0


def test_how_many_more_are_late_is_told_by_how_close_they_come() -> None:
    lateness = Lateness(WAIT_MAX_MS)
    late(lateness, 1_000, 990, 980, 970, 960, 950)
    assert lateness.ahead == (950 - 250) // 10
    late(lateness, 600, 600)
    assert lateness.ahead == 0, "nothing tells"
    late(lateness, 300, 200)
    assert lateness.ahead == 0
    late(lateness)
    assert lateness.ahead == 0


@given(st.lists(st.lists(st.integers(0, 10_000), max_size=8), max_size=8), st.integers(0, 2_000))
def test_who_waited_long_enough_is_always_late_and_who_waited_half_as_long_never(
    batches: list[list[int]], wait_max_ms: int
) -> None:
    lateness = Lateness(wait_max_ms)
    for waits in batches:
        for wait, is_late in zip(waits, late(lateness, *waits), strict=True):
            assert is_late or wait <= wait_max_ms or wait_max_ms == 0
            assert not is_late or wait > wait_max_ms / 2
        assert lateness.ahead >= 0
