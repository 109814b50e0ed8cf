"""Queue waits: what questions waited, by clocks that differ, step and drift."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.classify.queue_wait import SETTLED, QueueWaits
from refrain.streams.kafka.interface import Record

START_MS = 1_000_000
NOTHING_LEFT = {0: 0}
MORE_LEFT = {0: 100}


class Worker:
    """Takes questions of partition 0 by a clock that is `ahead_ms` ahead of the broker's."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.waits = QueueWaits()
        self.ahead_ms = ahead_ms

    def take(
        self, time_ms: int, *stamps_ms: int, behind: dict[int, int] | None = None, partition: int = 0
    ) -> list[int]:
        """Take questions with those stamps at that time, both the broker's."""
        batch = [Record("requests", partition, 0, stamp, None, None) for stamp in stamps_ms]
        return self.waits.measure(batch, NOTHING_LEFT if behind is None else behind, time_ms + self.ahead_ms)

    def keep_up(self, time_ms: int, polls: int = SETTLED) -> int:
        """Take so many questions, each at once and a second apart; returns when the next is due."""
        for at in range(time_ms, time_ms + polls * 1_000, 1_000):
            self.take(at, at)
        return time_ms + polls * 1_000


@pytest.fixture(params=[0, 600, -600, 86_400_000], ids=lambda ahead: f"clock {ahead} ms ahead")
def worker(request: pytest.FixtureRequest) -> Worker:
    return Worker(request.param)


def test_a_question_waited_from_its_stamp_until_it_was_taken(worker: Worker) -> None:
    now = worker.keep_up(START_MS)
    assert worker.take(now, now - 700, now - 30, now, behind=MORE_LEFT) == [700, 30, 0]


def test_under_load_waits_grow_however_long_it_lasts(worker: Worker) -> None:
    now = worker.keep_up(START_MS)
    for waited in range(0, 3_600_000, 60_000):
        assert worker.take(now + 2 * waited, now + waited, behind=MORE_LEFT) == [waited]


def test_a_worker_that_starts_is_not_late_for_what_waited_before(worker: Worker) -> None:
    assert worker.take(START_MS, START_MS - 60_000, behind=MORE_LEFT) == [0]
    assert worker.take(START_MS + 300, START_MS - 59_000, behind=MORE_LEFT)[0] <= 300


def test_a_worker_that_starts_under_load_is_late_when_it_does_not_get_to_the_end() -> None:
    worker = Worker()
    worker.take(START_MS, START_MS - 60_000, behind=MORE_LEFT)
    assert worker.take(START_MS + 2_000, START_MS - 59_000, behind=MORE_LEFT) == [2_000]


def test_a_partition_that_comes_back_begins_anew() -> None:
    worker = Worker()
    now = worker.keep_up(START_MS)
    worker.take(now, behind={1: 0})
    assert worker.take(now + 1, now - 60_000, behind=MORE_LEFT) == [0]


def test_partitions_have_clocks_of_their_own() -> None:
    worker = Worker()
    both = {0: 0, 1: 0}
    for at in range(START_MS, START_MS + 10_000, 1_000):
        assert worker.take(at, at, behind=both) == worker.take(at, at + 5_000, behind=both, partition=1) == [0]
    more = {0: 100, 1: 100}
    assert worker.take(START_MS + 10_000, START_MS + 9_000, behind=more) == [1_000]
    assert worker.take(START_MS + 10_000, START_MS + 14_000, behind=more, partition=1) == [1_000]


def test_a_clock_that_is_set_forward_is_believed_after_some_polls_that_left_nothing() -> None:
    worker = Worker()
    now = worker.keep_up(START_MS)
    worker.ahead_ms = 10_000
    assert worker.take(now, now) == [10_000]
    now = worker.keep_up(now + 1_000)
    assert worker.take(now, now - 20, behind=MORE_LEFT) == [20]


def test_a_clock_that_is_set_back_is_believed_at_once() -> None:
    worker = Worker()
    now = worker.keep_up(START_MS)
    worker.ahead_ms = -3_600_000
    assert worker.take(now, now) == [0]
    now = worker.keep_up(now + 1_000)
    assert worker.take(now, now - 700, behind=MORE_LEFT) == [700]


def test_old_questions_after_a_pause_do_not_move_the_clock() -> None:
    worker = Worker()
    now = worker.keep_up(START_MS)
    # What was fetched before the pause is the end of the topic as far as is known.
    assert worker.take(now + 20_000, now) == [20_000]
    assert worker.take(now + 20_100, now + 1_000, behind=MORE_LEFT) == [19_100]
    assert worker.take(now + 20_200, now + 19_800, behind=MORE_LEFT) == [400]


def test_the_mark_of_a_transaction_is_not_taken_for_a_question_that_is_left() -> None:
    worker = Worker(ahead_ms=600)
    for at in range(START_MS, START_MS + 3_000, 1_000):
        assert worker.take(at, at, behind={0: 1, 1: 1, 2: 0}) == [0]


def test_what_comes_after_an_empty_poll_is_new_whatever_seems_to_be_left() -> None:
    worker = Worker(ahead_ms=600)
    for at in range(START_MS, START_MS + 3_000, 1_000):
        worker.take(at, behind=MORE_LEFT)
        assert worker.take(at + 100, at + 100, behind=MORE_LEFT) == [0]


batches = st.lists(
    st.tuples(
        st.integers(0, 5_000),
        st.lists(st.tuples(st.integers(0, 2), st.integers(-2_000, 60_000)), max_size=5),
        st.dictionaries(st.integers(0, 2), st.integers(0, 3), max_size=3),
    ),
    max_size=30,
)


def measured(given: Iterable[tuple[int, Sequence[tuple[int, int]], dict[int, int]]], ahead_ms: int) -> list[list[int]]:
    """The waits of batches: each comes so long after the last, with partitions and ages, and with what is left."""
    waits, now_ms = QueueWaits(), START_MS
    found = []
    for after_ms, records, behind in given:
        now_ms += after_ms
        batch = [Record("requests", number, 0, now_ms - age, None, None) for number, age in records]
        found.append(waits.measure(batch, behind, now_ms + ahead_ms))
    return found


@given(batches, st.integers(-10_000, 10_000))
def test_no_wait_is_negative(given: list[tuple[int, list[tuple[int, int]], dict[int, int]]], ahead_ms: int) -> None:
    assert all(wait >= 0 for waits in measured(given, ahead_ms) for wait in waits)


@given(batches, st.integers(-10_000, 10_000))
def test_a_constant_difference_of_clocks_has_no_effect_once_nothing_was_left(
    given: list[tuple[int, list[tuple[int, int]], dict[int, int]]], ahead_ms: int
) -> None:
    # All three partitions are read from the start to the end, and none of them is ever lost.
    first = (0, [(number, 0) for number in range(3)], dict.fromkeys(range(3), 0))
    kept = [(after, records, dict.fromkeys(range(3), 0) | behind) for after, records, behind in given]
    assert measured([first, *kept], ahead_ms) == measured([first, *kept], 0)
