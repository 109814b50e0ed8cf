"""Requests of a topic that was made anew never get the ids of those that were there before."""

from __future__ import annotations

import pytest

from refrain.streams.classify.same_topic import SameTopic
from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.interface import OffsetAndMetadata, Outgoing
from refrain.streams.kafka.memory import MemoryCluster


class Asked(MemoryCluster):
    """Counts how often it is asked for an id."""

    times = 0

    def topic_id(self, topic: str) -> str:
        self.times += 1
        return super().topic_id(topic)


def world() -> tuple[Asked, SameTopic]:
    cluster = Asked(lambda: 1, {"requests": 2})
    consumer = SameTopic(cluster.consumer("requests", "classify"), cluster, "requests", cluster.topic_id("requests"))
    return cluster, consumer


def give(cluster: MemoryCluster, count: int, partition: int = 0) -> None:
    cluster.append([Outgoing("requests", None, b"%d" % number, (), partition) for number in range(count)])


def test_a_topic_that_stays_is_asked_about_once_an_assignment() -> None:
    cluster, consumer = world()
    before = cluster.times
    for _ in range(10):
        give(cluster, 3)
        give(cluster, 2, 1)
        assert len(consumer.poll(100, 0)) == 5
    assert cluster.times == before + 1


def test_what_is_read_again_is_no_other_topic() -> None:
    cluster, consumer = world()
    give(cluster, 3)
    consumer.poll(100, 0)
    consumer.seek(0, 1)
    assert [record.offset for record in consumer.poll(100, 0)] == [1, 2]


@pytest.mark.parametrize("seen", [0, 1, 5])
def test_a_topic_made_anew_ends_the_worker_before_its_first_request_is_taken(seen: int) -> None:
    cluster, consumer = world()
    give(cluster, seen)
    consumer.poll(100, 0)
    consumer.commit({0: OffsetAndMetadata(seen)})
    cluster.create("requests", 2)
    give(cluster, 3)
    consumer.seek(0, 0)
    with pytest.raises(ClusterFailed, match="made anew"):
        consumer.poll(100, 0)


def test_partitions_that_come_are_told_once_with_their_first_offset_before_it_is_given() -> None:
    told: list[dict[int, int]] = []
    cluster = MemoryCluster(lambda: 1, {"requests": 2})
    topic_id = cluster.topic_id("requests")
    under = cluster.consumer("requests", "classify")
    consumer = SameTopic(under, cluster, "requests", topic_id, lambda firsts: told.append(dict(firsts)))
    give(cluster, 3)
    consumer.poll(100, 0)
    give(cluster, 2)
    consumer.poll(100, 0)
    give(cluster, 1, 1)
    consumer.poll(100, 0)
    assert told == [{0: 0}, {1: 0}]
