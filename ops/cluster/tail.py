"""Tails a topic without a consumer group: from its end or start, until stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from refrain.ops.cluster.connection import client, create_client, missing, unreachable
from refrain.streams.kafka.offsets import known_offset

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

CONNECT_S = 10.0
POLL_S = 0.2


def follow(
    settings: Settings, topic: str, *, from_start: bool = False, stop: Callable[[], bool] = lambda: False
) -> Iterator[Message]:
    """Follow a topic: committed records as they come, until `stop`. Raises Unreachable, ClusterFailed or WrongSetup."""
    name = settings.prefix + topic
    consumer = create_client(
        Consumer,
        {
            **client(settings),
            "group.id": f"{settings.prefix}watch",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "latest",
            "fetch.wait.max.ms": 50,
        },
    )
    try:
        consumer.assign(_places(consumer, settings, name, from_start))
        while not stop():
            message = consumer.poll(POLL_S)
            if message is not None and message.error() is None:
                yield message
    finally:
        consumer.close()


def _end(consumer: Consumer, place: TopicPartition) -> int:
    return known_offset(consumer.get_watermark_offsets(place, CONNECT_S)[1], f"{place.topic}[{place.partition}]")


def _places(consumer: Consumer, settings: Settings, name: str, from_start: bool) -> list[TopicPartition]:
    try:
        found = consumer.list_topics(name, timeout=CONNECT_S).topics[name]
        if found.error is not None:
            raise missing(settings, name, found.error)
        places = [TopicPartition(name, number) for number in sorted(found.partitions)]
        for place in places:
            place.offset = OFFSET_BEGINNING if from_start else _end(consumer, place)
        return places
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem
