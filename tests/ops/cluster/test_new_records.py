"""Who looks at a topic now and then sees each record once, and all of a topic that was made anew."""

from __future__ import annotations

import pytest

from refrain.ops.cluster.new_records import NewRecords
from refrain.ops.observe.stats import StatsReports
from refrain.schemas.stats import ShardStats
from refrain.streams.errors import Unanswered
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster

TOPIC = "acknowledgements"


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(lambda: 1_000, {TOPIC: 2, "stats": 1, "journal": 2, "load": 1})


def write(cluster: MemoryCluster, *values: str) -> None:
    cluster.append([Outgoing(TOPIC, None, value.encode(), (), number % 2) for number, value in enumerate(values)])


def read(news: NewRecords) -> set[str]:
    return {(record.value or b"").decode() for record in news.read()}


@pytest.mark.parametrize(("from_start", "first"), [(False, set()), (True, {"old", "older"})])
def test_each_record_is_seen_once(cluster: MemoryCluster, from_start: bool, first: set[str]) -> None:
    write(cluster, "old", "older")
    news = NewRecords(cluster, TOPIC, from_start=from_start)
    assert read(news) == first
    write(cluster, "a")
    assert read(news) == {"a"}
    assert read(news) == set()


@pytest.mark.parametrize("before", [0, 3, 9])
@pytest.mark.parametrize("partitions", [1, 2, 4])
def test_all_of_a_topic_that_was_made_anew_is_seen(cluster: MemoryCluster, before: int, partitions: int) -> None:
    write(cluster, *map(str, range(before)))
    told: list[str] = []
    news = NewRecords(cluster, TOPIC, anew=lambda: told.append("anew"))
    cluster.create(TOPIC, partitions)
    new = [f"new {number}" for number in range(5)]
    cluster.append([Outgoing(TOPIC, None, each.encode(), (), at % partitions) for at, each in enumerate(new)])
    assert read(news) == set(new)
    assert told == ["anew"]
    assert read(news) == set()


def test_who_cannot_ask_which_topic_it_is_reads_on(cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(topic: str) -> str:
        raise Unanswered("no controller")

    monkeypatch.setattr(cluster, "topic_id", nobody)
    news = NewRecords(cluster, TOPIC)
    write(cluster, "a", "b")
    assert read(news) == {"a", "b"}


def test_stats_are_of_the_topic_that_is_there(cluster: MemoryCluster) -> None:
    def report(partition: int) -> None:
        told = ShardStats(
            partition=partition, time_ms=1, policy_version=None, control=-1, entries=0, waiting=0, withdrawing=0,
            loads={}, categories={},
        )  # fmt: skip
        cluster.append([Outgoing("stats", str(partition).encode(), told.encode())])

    report(0)
    report(1)
    reports = StatsReports(cluster)
    assert sorted(reports.reports()) == [0, 1]
    cluster.create("stats", 1)
    report(1)
    assert sorted(reports.reports()) == [1]
