"""Reads spans of the partitions of a topic side by side: by one connection, without a group, to known ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import KafkaError, Message, TopicPartition

from refrain.streams.errors import OffsetLost, Unanswered
from refrain.streams.kafka.convert import int_of, record_of
from refrain.streams.kafka.faults import raise_unless_recovering
from refrain.streams.kafka.incarnation import Incarnation
from refrain.streams.kafka.interface import Record, Span, Wanted
from refrain.streams.kafka.passing import Passing, assigned
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
    incarnation: Incarnation | None = None,
) -> Iterator[Record]:
    """The committed records of the spans; those of a partition in their order, those of several mixed.

    For each batch that nobody can read there is a record with a `flaw`, where all are wanted. `fetch` looks at such
    batches.

    Of a topic that is deleted and made anew meanwhile the client may give nothing for ever, or records of the new one:
    what `incarnation` tells of it ends the reading (TopicMadeAnew).

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
        places = [TopicPartition(name, partition, spans[partition].start) for partition in left]
        passing = assigned(consumer, {name: topic}, fetch, places)
        while left and not stop():
            ends = {(name, partition): end for partition, end in left.items()}
            if incarnation is not None:
                incarnation.look()
            heard = passing.hear(consumer.consume(BATCH, WAIT_S), ends)
            for message in heard.messages:
                if _is_record(message, name) and _is_within(message, left):
                    if stop():
                        return
                    if wanted is None or wanted(message.key(), message.value()):
                        yield record_of(topic, message)
            if wanted is None:
                yield from (record for record in heard.flawed if record.offset < left.get(record.partition, 0))
            _drop_finished(consumer, passing, name, left)
        if incarnation is not None and incarnation.id:
            # It was long enough for an answer: what was read last is of the same topic.
            with suppress(Unanswered):
                incarnation.ask()
    except OffsetLost:
        if incarnation is not None:
            # Who cannot tell whether it is another topic leaves what is known: that an offset is not there.
            with suppress(Unanswered):
                incarnation.ask()
        raise
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
    at = passing.positions([(name, partition) for partition in left])
    finished = [TopicPartition(*place) for place, offset in at.items() if offset >= left[place[1]]]
    for each in finished:
        del left[each.partition]
    if finished and left:
        consumer.pause(finished)
