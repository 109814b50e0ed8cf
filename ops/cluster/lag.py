"""Consumer lag: how far a group is behind its topic."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from refrain.ops.cluster.connection import client, create_client, missing, unreachable
from refrain.streams.kafka.offsets import known_offset

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

ADMIN_S = 10.0
OFFSETS_S = 4.0
"""How long a partition's leader may take to tell its offsets."""
CLOSE = 100
"""Offsets behind from which on transactions' ends, which take an offset and are no records, do not matter."""
READ_S = 5.0


@dataclass(frozen=True)
class Behind:
    """Lag: records between a group's positions and the ends; `members` of 0 says that nobody works on them."""

    records: int
    members: int


def behind(admin: AdminClient, settings: Settings, group: str, topic: str) -> Behind:
    """Lag of `group` on `topic` (names of the table). Raises ClusterFailed or WrongSetup."""
    name, group_id = settings.prefix + topic, settings.prefix + group
    try:
        found = admin.list_topics(name, timeout=ADMIN_S).topics[name]
        if found.error is not None:
            raise missing(settings, name, found.error)
        places = [TopicPartition(name, number) for number in found.partitions]
        first, end = _offsets(settings, places)
        positions = _positions(admin, group_id, places)
        starts = {n: max(positions.get(n, first[n]), first[n]) for n in end}
        gaps = {n: end[n] - start for n, start in starts.items() if end[n] > start}
        near = [TopicPartition(name, n, starts[n]) for n, gap in gaps.items() if gap <= CLOSE]
        counted = _count(settings, near)
        records = sum(counted.get(n, gap) for n, gap in gaps.items())
        return Behind(records, _members(admin, group_id))
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem


def group_position(admin: AdminClient, settings: Settings, group: str, topic: str) -> int | None:
    """The offset that `group` goes on from in partition 0 of `topic`; None before its first. Raises ClusterFailed."""
    places = [TopicPartition(settings.prefix + topic, 0)]
    try:
        return _positions(admin, settings.prefix + group, places).get(0)
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem


def _count(settings: Settings, places: list[TopicPartition]) -> dict[int, int]:
    """The committed records from these places to the ends: offsets count the ends of transactions too.

    A partition that was not read to its end in `READ_S` is left out.
    """
    if not places:
        return {}
    counts = dict.fromkeys((place.partition for place in places), 0)
    read: dict[int, int] = {}
    consumer = create_client(
        Consumer,
        {
            **client(settings),
            "group.id": f"{settings.prefix}lag",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        },
    )
    until = time.monotonic() + READ_S
    try:
        consumer.assign(places)
        while len(read) < len(counts) and time.monotonic() < until:
            for message in consumer.consume(1_000, 0.1):
                number, error = message.partition() or 0, message.error()
                if error is None:
                    counts[number] += 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    read[number] = counts[number]
    finally:
        consumer.close()
    return read


def _offsets(settings: Settings, places: list[TopicPartition]) -> tuple[dict[int, int], dict[int, int]]:
    """The first and the end offsets by partition. Raises Unanswered when a leader does not tell."""
    consumer = create_client(Consumer, {**client(settings), "group.id": f"{settings.prefix}lag"})
    first, end = {}, {}
    try:
        for place in places:
            low, high = consumer.get_watermark_offsets(place, OFFSETS_S)
            where = f"{place.topic}[{place.partition}]"
            first[place.partition], end[place.partition] = known_offset(low, where), known_offset(high, where)
    finally:
        consumer.close()
    return first, end


def _positions(admin: AdminClient, group_id: str, places: list[TopicPartition]) -> dict[int, int]:
    asked = [ConsumerGroupTopicPartitions(group_id, places)]
    try:
        found = admin.list_consumer_group_offsets(asked, request_timeout=ADMIN_S)[group_id].result()
    except KafkaException as problem:
        if problem.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        raise
    return {place.partition: place.offset for place in found.topic_partitions if place.offset >= 0}


def _members(admin: AdminClient, group_id: str) -> int:
    try:
        described = admin.describe_consumer_groups([group_id], request_timeout=ADMIN_S)[group_id].result()
    except KafkaException as problem:
        if problem.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise
    return len(described.members)
