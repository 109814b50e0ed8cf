"""Partitions that an open transaction holds up: whoever reads committed records gets none that stands behind its first.

The ends of partitions tell it, as who reads all sees them and as who reads what is committed does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import TopicPartition

from refrain.ops.cluster.single_records import ALL, READ_S, reader, written_at_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refrain.streams.settings import Settings


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
    committed = reader(settings, {})
    try:
        stable = {end.partition: committed.get_watermark_offsets(end, READ_S, cached=False)[1] for end in ends}
    finally:
        committed.close()
    places = [TopicPartition(end.topic, end.partition, stable[end.partition]) for end in ends]
    waiting = [place for place, end in zip(places, ends, strict=True) if 0 <= place.offset < end.offset]
    since_ms = written_at_ms(settings, waiting, ALL)
    whole = {end.partition: end.offset for end in ends}
    return tuple(
        Held(each.partition, each.offset, whole[each.partition] - each.offset, since_ms.get(each.partition))
        for each in waiting
    )
