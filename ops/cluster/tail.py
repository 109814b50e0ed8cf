"""Tails a topic without a consumer group: from its end, its start or a time on, until a time, its end, or stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from refrain.ops.cluster.connection import client, create_client, missing, unreachable
from refrain.streams import time_of_day
from refrain.streams.kafka.offsets import known_offset
from refrain.streams.kafka.passing import assigned
from refrain.streams.kafka.raw_fetch import raw_fetch

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

POLL_S = 0.2


class Span(NamedTuple):
    """What of a topic is read: from where on, and until when. Times are the records' (milliseconds)."""

    from_start: bool = False
    since_ms: int | None = None
    """None: from the end, or the start."""
    until_ms: int | None = None
    """The first time that is not wanted any more; None: on and on."""
    to_the_end: bool = False
    """Whether reading ends where the topic does now."""


NEW = Span()


def follow(
    settings: Settings, topic: str, span: Span = NEW, *, stop: Callable[[], bool] = lambda: False
) -> Iterator[Message]:
    """Follow a topic: committed records as they come, until `stop` or the end of the span.

    Batches that nobody can read are passed over; the log tells of each. Raises Unreachable, ClusterFailed or
    WrongSetup.
    """
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
            "enable.partition.eof": True,
        },
    )
    try:
        places = _places(consumer, settings, name, span)
        passing = assigned(consumer, {name: topic}, raw_fetch(settings), places)
        left = _Left({place.partition for place in places}, span, time_of_day.now_ms)
        while left.partitions and not stop():
            message = consumer.poll(POLL_S)
            heard = passing.hear(() if message is None else (message,))
            for each in heard.messages:
                if left.takes(each):
                    yield each
            if message is None and not heard.flawed:
                left.takes(None)
    finally:
        consumer.close()


class _Left:
    """The partitions that may still hold what is wanted."""

    def __init__(self, partitions: set[int], span: Span, now_ms: Callable[[], int]) -> None:
        self.partitions = partitions
        self._at_end: set[int] = set()
        self._span = span
        self._now_ms = now_ms

    def takes(self, message: Message | None) -> bool:
        """Whether a polled message is a record that is wanted."""
        until_ms = self._span.until_ms
        taken = False
        if message is not None:
            number, error = message.partition() or 0, message.error()
            if error is None:
                self._at_end.discard(number)
                over = until_ms is not None and message.timestamp()[1] >= until_ms
                taken = not over and number in self.partitions
                if over:
                    self.partitions.discard(number)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._at_end.add(number)
        if self._span.to_the_end or (until_ms is not None and self._now_ms() >= until_ms):
            self.partitions -= self._at_end
        return taken


def _bound(consumer: Consumer, place: TopicPartition, connect_s: float, *, first: bool) -> int:
    """The first offset of a partition, or its end."""
    found = consumer.get_watermark_offsets(place, connect_s)
    return known_offset(found[0 if first else 1], f"{place.topic}[{place.partition}]")


def _places(consumer: Consumer, settings: Settings, name: str, span: Span) -> list[TopicPartition]:
    connect_s = settings.connect_timeout_ms / 1_000
    try:
        found = consumer.list_topics(name, timeout=connect_s).topics[name]
        if found.error is not None:
            raise missing(settings, name, found.error)
        places = [TopicPartition(name, number) for number in sorted(found.partitions)]
        if span.since_ms is not None:
            asked = [TopicPartition(name, place.partition, span.since_ms) for place in places]
            places = list(consumer.offsets_for_times(asked, connect_s))
        for place in places:
            if place.offset < 0:
                # Of a time behind the last record the client tells that it is the end.
                place.offset = _bound(consumer, place, connect_s, first=span.from_start)
        return places
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem
