"""Reads spans of the partitions of a topic side by side: by one connection, without a group, to known ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import KafkaError, Message, TopicPartition

from refrain.streams.kafka.convert import int_of, record_of
from refrain.streams.kafka.faults import raise_unless_recovering
from refrain.streams.kafka.interface import Record, Span, Wanted
from refrain.streams.kafka.passing import READ_SILENT_S, Passing
from refrain.streams.kafka.raw_fetch import Fetch

BATCH = 5_000
WAIT_S = 0.05


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

    For each batch that nobody can read there is a record with a `flaw`, where all are wanted. `fetch` looks at such
    batches.

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
        passing = Passing(consumer, {name: topic}, fetch, READ_SILENT_S)
        for partition in left:
            passing.begin((name, partition), spans[partition].start)
        while left and not stop():
            heard = passing.sift(consumer.consume(BATCH, WAIT_S))
            for message in heard.messages:
                if _is_record(message, name) and _is_within(message, left):
                    if stop():
                        return
                    if wanted is None or wanted(message.key(), message.value()):
                        yield record_of(topic, message)
            flawed = [*heard.flawed, *passing.behind_silence({(name, each): end for each, end in left.items()})]
            if wanted is None:
                yield from (record for record in flawed if record.offset < left.get(record.partition, 0))
            _drop_finished(consumer, passing, name, left)
    finally:
        consumer.close()


def _is_record(message: Message, name: str) -> bool:
    """Whether it is a record, and no end of a partition. Raises what the client does not recover from."""
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise_unless_recovering(error, f"reading {name}[{message.partition()}]")
    return error is None


def _is_within(message: Message, left: Mapping[int, int]) -> bool:
    """Whether a record stands before the end of its span."""
    return int_of(message.offset()) < left.get(int_of(message.partition()), 0)


def _drop_finished(consumer: ConfluentConsumer, passing: Passing, name: str, left: dict[int, int]) -> None:
    """Leave out the partitions that are read to their ends: what comes there is not fetched any more."""
    finished = []
    for each in consumer.position([TopicPartition(name, partition) for partition in left]):
        place, end = (name, each.partition), left[each.partition]
        if (place not in passing.sought and each.offset >= end) or (passing.at(place) or 0) >= end:
            finished.append(each)
            del left[each.partition]
    if finished and left:
        consumer.pause([TopicPartition(name, each.partition) for each in finished])
