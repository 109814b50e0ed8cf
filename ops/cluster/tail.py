"""Tails a topic without a consumer group: from its end, its start or a time on, until a time, its end, or stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer, KafkaError, Message

from refrain.ops.cluster.connection import client, create_client, reach
from refrain.streams import time_of_day
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.following import Following
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
    settings: Settings,
    topic: str,
    span: Span = NEW,
    *,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Message]:
    """Follow a topic: committed records as they come, until `stop` or the end of the span.

    Batches that nobody can read are passed over; the log tells of each, and of a topic that is made anew meanwhile: it
    is read from its first record. `clock` gives seconds. Raises Unreachable, ClusterFailed or WrongSetup.
    """
    reach(settings)
    properties = {
        **client(settings),
        "group.id": f"{settings.prefix}watch",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "latest",
        "fetch.wait.max.ms": 50,
        "enable.partition.eof": True,
    }
    with KafkaCluster(settings) as cluster:
        starts = _starts(cluster, topic, span)
        left = _Left(set(starts), span, time_of_day.now_ms)
        following = Following(
            lambda: create_client(Consumer, properties),
            settings.prefix,
            {(topic, number): at for number, at in starts.items()},
            raw_fetch(settings),
            of_all=(topic,),
            describe=cluster.described,
            partitions=cluster.partitions,
            anew=left.begin,
            clock=clock,
        )
        try:
            while left.partitions and not stop():
                heard = following.poll(1, POLL_S)
                for message in heard.messages:
                    if left.takes(message):
                        yield message
                if not heard.messages and not heard.flawed:
                    left.takes(None)
        finally:
            following.close()


class _Left:
    """The partitions that may still hold what is wanted."""

    def __init__(self, partitions: Collection[int], span: Span, now_ms: Callable[[], int]) -> None:
        self._span = span
        self._now_ms = now_ms
        self.begin(partitions)

    def begin(self, partitions: Collection[int]) -> None:
        """Begin with these, of which nothing is read."""
        self.partitions = set(partitions)
        self._at_end: set[int] = set()

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


def _starts(cluster: KafkaCluster, topic: str, span: Span) -> dict[int, int]:
    """Where each partition is read from. Raises ClusterFailed or WrongSetup."""
    if span.since_ms is not None:
        return cluster.offsets_at(topic, span.since_ms)
    return {number: first if span.from_start else end for number, (first, end) in cluster.ends(topic).items()}
