"""Between librdkafka's types and ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from confluent_kafka import Message, TopicPartition
from refrain.streams.kafka.interface import Headers, OffsetAndMetadata, Record


class KafkaGroupMetadata(NamedTuple):
    """A consumer group's metadata at one moment."""

    topic: str
    name: str
    """The topic's name on the cluster."""
    metadata: Any


def topic_partitions(name: str, positions: Mapping[int, OffsetAndMetadata]) -> list[TopicPartition]:
    places = []
    for partition, position in positions.items():
        place = TopicPartition(name, partition, position.next_offset)
        if position.metadata:
            place = TopicPartition(name, partition, position.next_offset, position.metadata)
        places.append(place)
    return places


def int_of(value: int | None) -> int:
    return -1 if value is None else value


def record_of(topic: str, message: Message) -> Record:
    return Record(
        topic,
        int_of(message.partition()),
        int_of(message.offset()),
        message.timestamp()[1],
        message.key(),
        message.value(),
        cast(Headers, tuple(message.headers() or ())),
    )
