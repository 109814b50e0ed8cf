"""Where a member of a group begins with its partitions, which the group knows and the client does not say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from confluent_kafka import Consumer

from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.interface import OffsetAndMetadata
from refrain.streams.kafka.offsets import Place, first_offset

Kept = Callable[[Sequence[int]], Mapping[int, OffsetAndMetadata]]

FIRST_S = 1.0
"""How long the first offset of a partition may take to be told."""


class GroupStarts:
    """Tells where partitions of a topic begin for a group that reads from the first offset what it has not read.

    `name` is the topic's on the cluster.
    """

    def __init__(self, consumer: Consumer, name: str, kept: Kept) -> None:
        """`kept` gives what the group has committed of partitions; it raises ClusterFailed where nobody tells."""
        self._consumer = consumer
        self._name = name
        self._kept = kept

    def committed(self, places: Collection[Place]) -> dict[Place, int]:
        """The offsets that the group has committed; places without one are absent, all of them where nobody tells."""
        try:
            found = self._kept(sorted(partition for _, partition in places))
        except ClusterFailed:
            return {}
        return {(self._name, partition): kept.next_offset for partition, kept in found.items()}

    def first(self, place: Place) -> int | None:
        """The first offset of a partition; None where nobody tells it. It may take as long as a fetch waits."""
        return first_offset(self._consumer, *place, FIRST_S)
