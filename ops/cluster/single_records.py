"""Reads partitions from places on without a position of its own: a record here and there, and when it was written."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, TopicPartition

from refrain.ops.cluster.connection import client, create_client

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

READ_S = 5.0
FETCH_BYTES = 65_536
"""Of one partition at a time, where a single record is wanted."""
COMMITTED, ALL = "read_committed", "read_uncommitted"
"""Which records a reader gets: those of transactions that are committed, or any."""


def reader(settings: Settings, more: Mapping[str, object], isolation: str = COMMITTED) -> Consumer:
    """A consumer of records, of no position of its own, with these further properties."""
    return create_client(
        Consumer,
        {
            **client(settings),
            "group.id": f"{settings.prefix}lag",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
            **more,
        },
    )


def written_at_ms(settings: Settings, places: Sequence[TopicPartition], isolation: str = COMMITTED) -> dict[int, int]:
    """When the first record at or after each place of a topic was written, by partition (ms).

    A partition of which none was read in `READ_S` is left out. Raises KafkaException.
    """
    found: dict[int, int] = {}
    if not places:
        return found
    consumer = reader(settings, {"fetch.message.max.bytes": FETCH_BYTES}, isolation)
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
