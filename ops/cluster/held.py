"""Partitions that an open transaction holds up: whoever reads committed records gets none that stands behind its first.

The ends of partitions tell it, as who reads all sees them and as who reads what is committed does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from refrain.ops.cluster.connection import client, create_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refrain.streams.settings import Settings

READ_S = 5.0
FETCH_BYTES = 65_536


class Held(NamedTuple):
    """A partition of which nobody gets what stands at an offset and behind it."""

    partition: int
    offset: int
    records: int
    """Offsets that wait, those of the transaction itself among them."""
    since_ms: int | None
    """When its first record was written, as its writer says; None where it could not be read."""


def held(settings: Settings, ends: Sequence[TopicPartition]) -> tuple[Held, ...]:
    """Those of these partitions that an open transaction holds up; the offset of each is its end for who reads all.

    Raises KafkaException.
    """
    if not ends:
        return ()
    committed = _consumer(settings, "read_committed")
    try:
        stable = {end.partition: committed.get_watermark_offsets(end, READ_S, cached=False)[1] for end in ends}
    finally:
        committed.close()
    places = [TopicPartition(end.topic, end.partition, stable[end.partition]) for end in ends]
    waiting = [place for place, end in zip(places, ends, strict=True) if 0 <= place.offset < end.offset]
    since_ms = _written_at_ms(settings, waiting)
    whole = {end.partition: end.offset for end in ends}
    return tuple(
        Held(each.partition, each.offset, whole[each.partition] - each.offset, since_ms.get(each.partition))
        for each in waiting
    )


def _written_at_ms(settings: Settings, places: Sequence[TopicPartition]) -> dict[int, int]:
    """When the record at each place was written, committed or not; those not read in `READ_S` are left out."""
    found: dict[int, int] = {}
    if not places:
        return found
    consumer = _consumer(settings, "read_uncommitted")
    until = time.monotonic() + READ_S
    try:
        consumer.assign(list(places))
        while len(found) < len(places) and time.monotonic() < until:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                found.setdefault(message.partition() or 0, int(message.timestamp()[1]))
    finally:
        consumer.close()
    return found


def _consumer(settings: Settings, isolation: str) -> Consumer:
    return create_client(
        Consumer,
        {
            **client(settings),
            "group.id": f"{settings.prefix}lag",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
            "fetch.message.max.bytes": FETCH_BYTES,
        },
    )
