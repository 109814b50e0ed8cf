"""A decision is found wherever it stands, and what is not there is not waited for for ever."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

import pytest

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.responses import Outcome
from refrain.streams.govern.decision_search import SETTLE_MS, DecisionSearch, SoughtDecision
from refrain.streams.govern.id_scan import Chunks
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


SOUGHT = SoughtDecision("d")
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
    return Watched(lambda: 0, {"decisions": 1, "journal": 1})


def put(cluster: MemoryCluster, *names: str, partition: int | None = None) -> None:
    made = [DECISION.model_copy(update={"id": name}) for name in names]
    cluster.append([Outgoing("decisions", each.id.encode(), each.encode(), (), partition) for each in made])


def searched(search: DecisionSearch, steps_max: int = 100) -> int:
    """How many steps the search took."""
    return next(step for step in range(1, steps_max) if search.search_chunk())


@pytest.mark.parametrize("after", range(0, 40, 3))
def test_a_decision_is_found_however_many_came_after_it(cluster: MemoryCluster, after: int) -> None:
    put(cluster, "x", "d", *(f"x{number}" for number in range(after)))
    search = DecisionSearch(cluster, SOUGHT, Clock(), SMALL)
    searched(search)
    assert search.found == DECISION


def test_the_steps_grow_from_the_end_backwards(cluster: Watched) -> None:
    put(cluster, *(f"x{number}" for number in range(30)))
    search = DecisionSearch(cluster, SOUGHT, itertools.count(0, SETTLE_MS).__next__, SMALL)
    assert searched(search) == 6
    assert cluster.starts == [28, 22, 12, 2, 0]
    assert search.found is None


def test_what_is_older_than_is_looked_at_is_not_found(cluster: MemoryCluster) -> None:
    put(cluster, "d", *(f"x{number}" for number in range(60)))
    search = DecisionSearch(cluster, SOUGHT, itertools.count(0, SETTLE_MS).__next__, SMALL)
    searched(search)
    assert search.found is None


def test_what_is_recorded_within_a_moment_is_found(cluster: MemoryCluster) -> None:
    clock = Clock()
    search = DecisionSearch(cluster, SOUGHT, clock, SMALL)
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
    search = DecisionSearch(cluster, SOUGHT, clock, SMALL)
    assert not search.search_chunk()
    clock.ms = SETTLE_MS
    assert search.search_chunk()
    assert search.found is None
    put(cluster, "d")
    assert search.search_chunk()
    assert search.found is None


def test_a_decision_that_cannot_be_read_is_none(cluster: MemoryCluster) -> None:
    cluster.append([Outgoing("decisions", b"d", b"junk")])
    search = DecisionSearch(cluster, SOUGHT, Clock(), SMALL)
    assert search.search_chunk()
    assert search.found is None


@pytest.mark.parametrize("partition", range(8))
def test_by_id_alone_it_is_found_in_any_partition(partition: int) -> None:
    cluster = MemoryCluster(lambda: 0, {"decisions": 8})
    put(cluster, *(f"x{number}" for number in range(50)))
    put(cluster, "d", partition=partition)
    search = DecisionSearch(cluster, SOUGHT, Clock(), SMALL)
    searched(search)
    assert search.found == DECISION


def test_what_all_partitions_hold_together_is_not_looked_at_beyond_the_limit() -> None:
    cluster = MemoryCluster(lambda: 0, {"decisions": 2})
    put(cluster, "d", *(f"x{number}" for number in range(30)), partition=0)
    search = DecisionSearch(cluster, SOUGHT, itertools.count(0, SETTLE_MS).__next__, SMALL)
    searched(search)
    assert search.found is None


def placed(cluster: MemoryCluster, partition: int, *offsets: int) -> None:
    """Decisions `PARTITION-OFFSET` of journal records, as lookup writes them."""
    fields = {"journal": cluster.topic_id("journal"), "partition": partition}
    made = [DECISION.model_copy(update=fields | {"id": f"{partition}-{at}", "offset": at}) for at in offsets]
    cluster.append([Outgoing("decisions", each.id.encode(), each.encode(), (), partition) for each in made])


@pytest.fixture
def sharded() -> Watched:
    """Two shards with 5,000 decisions each, of every second journal record."""
    cluster = Watched(lambda: 0, {"decisions": 2, "journal": 2})
    for partition in range(2):
        placed(cluster, partition, *range(0, 10_000, 2))
    return cluster


@pytest.mark.parametrize("offset", [0, 2, 444, 9_998])
def test_by_its_place_it_is_found_in_one_step_and_without_a_scan(sharded: Watched, offset: int) -> None:
    search = DecisionSearch(sharded, SoughtDecision(f"1-{offset}", 1, offset), Clock(), SMALL)
    assert search.search_chunk()
    assert search.found is not None
    assert (search.found.partition, search.found.offset) == (1, offset)
    assert sharded.starts == []


@pytest.mark.parametrize(
    "place", [(1, 3), (1, 9_996), (1, 10_001), (0, 9_998), (2, 9_998), (-1, 9_998), (1, -1), (None, 9_998), (1, None)]
)
def test_a_wrong_place_costs_time_and_it_is_found_by_its_id(
    sharded: Watched, place: tuple[int | None, int | None]
) -> None:
    search = DecisionSearch(sharded, SoughtDecision("1-9998", *place), itertools.count(0, 400).__next__, SMALL)
    searched(search)
    assert search.found is not None
    assert search.found.id == "1-9998"


def test_by_its_place_it_is_found_when_it_is_recorded_within_a_moment(sharded: Watched) -> None:
    search = DecisionSearch(sharded, SoughtDecision("0-10000", 0, 10_000), Clock(), SMALL)
    assert not search.search_chunk()
    placed(sharded, 0, 9_999)
    assert not search.search_chunk()
    placed(sharded, 0, 10_000, 10_001)
    assert search.search_chunk()
    assert search.found is not None
    assert search.found.id == "0-10000"
    assert sharded.starts == []


def test_one_that_is_nowhere_is_given_up_at_the_right_time_wherever_it_is_said_to_be(sharded: Watched) -> None:
    clock = Clock()
    for place in ((0, 400), (0, 20_000), (None, None)):
        search = DecisionSearch(sharded, SoughtDecision("x", *place), clock, SMALL)
        assert not any(search.search_chunk() for _ in range(20))
        clock.ms += SETTLE_MS
        searched(search)
        assert search.found is None


def test_a_search_that_is_closed_is_over(sharded: Watched) -> None:
    search = DecisionSearch(sharded, SoughtDecision("0-4", 0, 4), Clock(), SMALL)
    search.close()
    search.close()
    assert search.search_chunk()
    assert search.found is None
