"""A decision is found wherever it stands in its partition, and what is not there is not waited for for ever."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

import pytest

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.responses import Outcome
from refrain.streams.govern.decision_search import SETTLE_MS, Chunks, DecisionSearch
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster

DECISION = Decision(
    id="d", partition=1, offset=2, time_ms=3, tenant="acme", category="chat", model="m", outcome=Outcome.HIT,
    reason=Reason.EXACT_TEXT,
)  # fmt: skip


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


SMALL = Chunks(first=2, max=10, looked_at_max=60)


class Watched(MemoryCluster):
    """Remembers from where it was read."""

    def __init__(self, now_ms: Callable[[], int], partitions: Mapping[str, int]) -> None:
        super().__init__(now_ms, partitions)
        self.starts: list[int] = []

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        self.starts.append(start)
        return super().scan(topic, partition, start, stop=stop)


@pytest.fixture
def cluster() -> Watched:
    return Watched(lambda: 0, {"decisions": 1})


def put(cluster: MemoryCluster, *names: str) -> None:
    cluster.append(
        [Outgoing("decisions", name.encode(), DECISION.model_copy(update={"id": name}).encode()) for name in names]
    )


def searched(search: DecisionSearch, steps_max: int = 100) -> int:
    """How many steps the search took."""
    return next(step for step in range(1, steps_max) if search.search_chunk())


@pytest.mark.parametrize("after", range(0, 40, 3))
def test_a_decision_is_found_however_many_came_after_it(cluster: MemoryCluster, after: int) -> None:
    put(cluster, "x", "d", *(f"x{number}" for number in range(after)))
    search = DecisionSearch(cluster, "d", Clock(), SMALL)
    searched(search)
    assert search.found == DECISION


def test_the_steps_grow_from_the_end_backwards(cluster: Watched) -> None:
    put(cluster, *(f"x{number}" for number in range(30)))
    search = DecisionSearch(cluster, "d", itertools.count(0, SETTLE_MS).__next__, SMALL)
    assert searched(search) == 6
    assert cluster.starts == [28, 22, 12, 2, 0]
    assert search.found is None


def test_what_is_older_than_is_looked_at_is_not_found(cluster: MemoryCluster) -> None:
    put(cluster, "d", *(f"x{number}" for number in range(60)))
    search = DecisionSearch(cluster, "d", itertools.count(0, SETTLE_MS).__next__, SMALL)
    searched(search)
    assert search.found is None


def test_what_is_recorded_within_a_moment_is_found(cluster: MemoryCluster) -> None:
    clock = Clock()
    search = DecisionSearch(cluster, "d", clock, SMALL)
    assert not search.search_chunk()
    put(cluster, "x")
    assert not search.search_chunk()
    clock.ms = SETTLE_MS
    put(cluster, "d")
    assert search.search_chunk()
    assert search.found == DECISION
    assert search.search_chunk()


def test_what_is_not_recorded_within_a_moment_is_given_up(cluster: MemoryCluster) -> None:
    clock = Clock()
    search = DecisionSearch(cluster, "d", clock, SMALL)
    assert not search.search_chunk()
    clock.ms = SETTLE_MS
    assert search.search_chunk()
    assert search.found is None
    put(cluster, "d")
    assert search.search_chunk()
    assert search.found is None


def test_a_decision_that_cannot_be_read_is_none(cluster: MemoryCluster) -> None:
    cluster.append([Outgoing("decisions", b"d", b"junk")])
    search = DecisionSearch(cluster, "d", Clock(), SMALL)
    assert search.search_chunk()
    assert search.found is None


def test_only_the_partition_of_the_id_is_looked_at() -> None:
    cluster = MemoryCluster(lambda: 0, {"decisions": 8})
    put(cluster, *(f"x{number}" for number in range(50)), "d")
    search = DecisionSearch(cluster, "d", Clock(), SMALL)
    searched(search)
    assert search.found == DECISION
