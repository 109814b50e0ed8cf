"""Reads spans of the partitions of a topic side by side: by one connection, without a group, to known ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import KafkaError, Message, TopicPartition

from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.convert import int_of, record_of
from refrain.streams.kafka.damage import Damage
from refrain.streams.kafka.faults import BROKEN_CODES, raise_unless_recovering
from refrain.streams.kafka.interface import Record, Span, Wanted
from refrain.streams.kafka.raw_fetch import Fetch

BATCH = 5_000
WAIT_S = 0.05
WHOLE = frozenset({"documents"})
"""Topics of which nothing may be left out: a state of which a part is missing is another one."""


def read_spans(
    reading: Mapping[str, Any],
    topic: str,
    name: str,
    spans: Mapping[int, Span],
    wanted: Wanted | None,
    stop: Callable[[], bool],
    fetch: Fetch,
) -> Iterator[Record]:
    """The committed records of the spans; those of a partition in their order, those of several mixed.

    Batches that nobody can read are left out, but not of `WHOLE`: that raises ClusterFailed. `fetch` looks at them.

    `reading` are the properties of a client that reads without a group, `name` is the topic's on the cluster. No record
    is made of what is not `wanted` (None: all). Ends early when `stop` says so.
    """
    left = {partition: span.end for partition, span in spans.items() if span.start < span.end}
    if not left:
        return
    consumer = ConfluentConsumer(
        {
            **reading,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        consumer.assign([TopicPartition(name, partition, spans[partition].start) for partition in left])
        passing = _Passing(consumer, topic, name, fetch, {partition: spans[partition].start for partition in left})
        while left and not stop():
            for message in consumer.consume(BATCH, WAIT_S):
                if passing.heard(message):
                    continue
                if _is_record(message, name) and _is_within(message, left):
                    if stop():
                        return
                    if wanted is None or wanted(message.key(), message.value()):
                        yield record_of(topic, message)
            passing.look(left)
            _drop_finished(consumer, name, left)
    finally:
        consumer.close()


class _Passing:
    """Passes over batches that nobody can read, at which the client is silent."""

    def __init__(
        self, consumer: ConfluentConsumer, topic: str, name: str, fetch: Fetch, starts: Mapping[int, int]
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._name = name
        self._damage = Damage(topic, name, fetch, time.monotonic)
        self._at = dict(starts)
        for partition, at in starts.items():
            self._damage.begin(partition, at)

    def heard(self, message: Message) -> bool:
        """Note what the client gave; whether it told of a batch that it cannot read, which is passed over."""
        partition, offset, error = int_of(message.partition()), int_of(message.offset()), message.error()
        if partition not in self._at:
            return False
        self._damage.wake(partition)
        if error is None:
            self._at[partition] = offset + 1
        elif error.code() in BROKEN_CODES and self._damage.look(partition, self._at[partition], broken_at=offset):
            self._pass(partition)
            return True
        return False

    def look(self, left: dict[int, int]) -> None:
        """Look at partitions of which nothing comes; those that are passed to their ends are left out."""
        for partition, end in list(left.items()):
            at = self._at[partition]
            if self._damage.is_silent(partition, at, end) and self._damage.look(partition, at):
                self._pass(partition)
            if self._at[partition] >= end > at:
                del left[partition]

    def _pass(self, partition: int) -> None:
        _, place = self._damage.sift(partition, (), -1)
        if place is None:
            return
        if self._topic in WHOLE:
            raise ClusterFailed(
                f"reading {self._name}[{partition}]: what stands before {place} cannot be read, and nothing may be left"
                " out of it"
            )
        self._at[partition] = place
        self._consumer.seek(TopicPartition(self._name, partition, place))


def _is_record(message: Message, name: str) -> bool:
    """Whether it is a record, and no end of a partition. Raises what the client does not recover from."""
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise_unless_recovering(error, f"reading {name}[{message.partition()}]")
    return error is None


def _is_within(message: Message, left: Mapping[int, int]) -> bool:
    """Whether a record stands before the end of its span."""
    return int_of(message.offset()) < left.get(int_of(message.partition()), 0)


def _drop_finished(consumer: ConfluentConsumer, name: str, left: dict[int, int]) -> None:
    """Leave out the partitions that are read to their ends: what comes there is not fetched any more."""
    finished = [
        each
        for each in consumer.position([TopicPartition(name, partition) for partition in left])
        if each.offset >= left[each.partition]
    ]
    for each in finished:
        del left[each.partition]
    if finished and left:
        consumer.pause([TopicPartition(name, each.partition) for each in finished])
