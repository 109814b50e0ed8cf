"""The in-memory log keeps the promises of every log, and a few of its own."""

from __future__ import annotations

import itertools

import pytest

from refrain.streams.errors import Fenced, OffsetLost
from refrain.streams.kafka.interface import OffsetAndMetadata, Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from tests.streams.kafka.cluster_contract import ClusterContract, ClusterUnderTest, Remembering, records_of, values


class TestMemoryLog(ClusterContract):
    @pytest.fixture
    def cluster(self) -> ClusterUnderTest:
        ticks = itertools.count(1_000)
        cluster = MemoryCluster(lambda: next(ticks), {})

        def create(topic: str, partitions: int) -> None:
            cluster.create(topic, partitions, max_bytes=100_000)

        def create_other(topic: str, partitions: int, max_bytes: int, compacted: bool) -> None:
            cluster.create(topic, partitions, max_bytes, compacted=compacted)

        return ClusterUnderTest(cluster, create, create, create_other, cluster.delete)


def test_stamps_never_run_backwards_in_a_partition() -> None:
    clock = iter([5, 3, 9])
    cluster = MemoryCluster(lambda: next(clock), {"things": 1})
    cluster.producer().send(records_of("things", 3))
    assert [record.timestamp_ms for record in cluster.records("things")] == [5, 5, 9]


def test_without_other_wishes_it_has_the_topics_of_the_table() -> None:
    cluster = MemoryCluster(lambda: 0)
    assert cluster.partitions("journal") == cluster.partitions("documents") == 32


def test_a_second_member_of_a_group_takes_over_and_fences_the_first() -> None:
    cluster = MemoryCluster(lambda: 0, {"things": 1})
    listener = Remembering()
    first = cluster.consumer("things", "group", listener)
    first.poll(1, 0)
    second = cluster.consumer("things", "group")
    for attempt in (
        lambda: first.poll(1, 0),
        lambda: first.commit({0: OffsetAndMetadata(1)}),
        lambda: cluster.transactional("one").transact(
            [Outgoing("things", b"k", b"v")], first.group_metadata(), {0: OffsetAndMetadata(1)}
        ),
    ):
        with pytest.raises(Fenced):
            attempt()
    assert ("lost", (0,)) in listener.heard
    assert cluster.records("things") == []
    assert second.poll(1, 0) == []


def test_reading_on_without_a_committed_offset_is_an_error() -> None:
    cluster = MemoryCluster(lambda: 0, {"things": 1})
    cluster.producer().send(records_of("things", 1))
    consumer = cluster.consumer("things", "group", from_start=False)
    consumer.poll(1, 0)
    consumer.resume([0])
    with pytest.raises(OffsetLost):
        consumer.poll(1, 0)


def test_all_records_of_a_topic_can_be_listed() -> None:
    cluster = MemoryCluster(lambda: 0, {"things": 2})
    cluster.producer().send([*records_of("things", 1, partition=1), *records_of("things", 1, first=5)])
    assert values(cluster.records("things")) == [b"5", b"0"]
