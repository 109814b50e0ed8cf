"""Converts between librdkafka's types and ours: records, offsets with metadata, group metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import methodcaller
from typing import Any, NamedTuple, cast

from confluent_kafka import Message, TopicPartition

from refrain.streams.kafka.interface import Headers, OffsetAndMetadata, Record

_checked_headers = methodcaller("headers")


class KafkaGroupMetadata(NamedTuple):
    """The group metadata of a consumer, as a transaction of librdkafka takes it."""

    topic: str
    name: str
    """The topic's name on the cluster."""
    metadata: Any
    signed: Callable[[Mapping[int, OffsetAndMetadata]], Mapping[int, OffsetAndMetadata]] = dict
    """Makes offsets say of which incarnation of the topic they are."""


def topic_partitions(name: str, offsets: Mapping[int, OffsetAndMetadata]) -> list[TopicPartition]:
    """Offsets to commit, in librdkafka's form; `name` is the topic's on the cluster."""
    out = []
    for partition, kept in offsets.items():
        if kept.metadata:
            out.append(TopicPartition(name, partition, kept.next_offset, kept.metadata))
        else:
            out.append(TopicPartition(name, partition, kept.next_offset))
    return out


def int_of(value: int | None) -> int:
    """A partition or offset of a message; -1 where librdkafka tells none."""
    return -1 if value is None else value


def record_of(topic: str, message: Message) -> Record:
    """The consumed message as a record of `topic`, the name without the prefix, whatever its headers are."""
    headers = _headers_of(message)
    return Record(
        topic,
        int_of(message.partition()),
        int_of(message.offset()),
        message.timestamp()[1],
        message.key(),
        message.value(),
        () if headers is None else headers,
        headers is None,
    )


def _headers_of(message: Message) -> Headers | None:
    """The headers of a message, None where they cannot be read.

    The client decodes names strictly: of one that is not UTF-8 it returns a list with holes in it and an error beside,
    which the interpreter turns into SystemError. It must be asked once, since it raises once; and not by a call in
    Python, which the interpreter makes without that look at the result once it is made often. What touches a hole ends
    the process.
    """
    try:
        return cast(Headers, tuple(_checked_headers(message) or ()))
    except (SystemError, UnicodeError):
        return None
