"""When offsets of batches are committed, which of them, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from refrain.streams.errors import Rebalanced, Unanswered
from refrain.streams.kafka.interface import OffsetAndMetadata, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.memory_clients import MemoryConsumer
from refrain.streams.runtime.batch_commits import COMMIT_AGAIN_S, COMMIT_INTERVAL_S, BatchCommits


class Failing(MemoryConsumer):
    """A member that is assigned partitions 0 and 1, and whose commits fail while there is a problem."""

    owned: Sequence[int] = (0, 1)
    problem: Exception | None = None

    def assignment(self) -> list[int]:
        return list(self.owned)

    def commit(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        if self.problem is not None:
            raise self.problem
        super().commit(offsets)


class Bench:
    """Commits on a cluster in memory, by a clock that stands still."""

    def __init__(self) -> None:
        self.consumer = Failing(MemoryCluster(lambda: 0, {"requests": 2}), "requests", "g", None, from_start=True)
        self.now_s = 0.0
        self.told: list[Mapping[int, int]] = []
        self.commits = BatchCommits(self.consumer, self.told.append, lambda: self.now_s)

    def add(self, *places: tuple[int, int]) -> None:
        self.commits.add([Record("requests", partition, offset, 0, None, b"") for partition, offset in places])

    def due_after(self, seconds: float) -> bool:
        self.now_s += seconds
        return self.commits.commit_when_due()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_newest_offset_of_each_partition_is_committed_and_told_as_the_next_to_read(bench: Bench) -> None:
    bench.add((0, 3), (1, 7), (0, 4))
    assert bench.due_after(0)
    assert bench.told == [{0: 5, 1: 8}]
    assert {at: each.next_offset for at, each in bench.consumer.committed([0, 1]).items()} == {0: 5, 1: 8}


def test_commits_are_an_interval_apart(bench: Bench) -> None:
    bench.add((0, 3))
    assert bench.due_after(0)
    bench.add((0, 4))
    assert not bench.due_after(COMMIT_INTERVAL_S / 2)
    assert bench.due_after(COMMIT_INTERVAL_S)
    assert bench.told == [{0: 4}, {0: 5}]


def test_where_nothing_was_worked_nothing_is_committed(bench: Bench) -> None:
    assert not bench.due_after(10)
    bench.commits.commit()
    assert bench.told == []


@pytest.mark.parametrize("problem", [Rebalanced("of others"), Unanswered("no broker")])
def test_what_cannot_be_committed_is_told_to_nobody_and_committed_later(bench: Bench, problem: Exception) -> None:
    bench.add((0, 3))
    bench.consumer.problem = problem
    assert bench.due_after(0)
    assert not bench.due_after(COMMIT_AGAIN_S / 2)
    assert bench.told == []
    bench.consumer.problem = None
    assert bench.due_after(COMMIT_AGAIN_S)
    assert bench.told == [{0: 4}]


def test_of_a_partition_that_went_to_another_nothing_is_committed_or_told(bench: Bench) -> None:
    bench.add((0, 3), (1, 7))
    bench.consumer.owned = (1,)
    bench.commits.commit()
    bench.consumer.owned = (0, 1)
    bench.commits.commit()
    assert bench.told == [{1: 8}]
    assert 0 not in bench.consumer.committed([0, 1])
