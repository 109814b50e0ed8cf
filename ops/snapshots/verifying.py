"""Whether snapshots are what their manifests say, and of this cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from refrain.ops.cluster.connection import reach
from refrain.streams.errors import SnapshotUnusable
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.snapshots.shelf import Listed, usable
from refrain.streams.snapshots.snapshot import Place, place_of

if TYPE_CHECKING:
    from refrain.streams.settings import Settings


def places(settings: Settings, partitions: Iterable[int], now_ms: int) -> dict[int, Place]:
    """Where snapshots of these shards are to fit in; shards that the journal does not have are absent."""
    reach(settings)
    with KafkaCluster(settings) as cluster:
        count = cluster.partitions("journal")
        return {number: place_of(cluster, number, now_ms) for number in sorted(partitions) if number < count}


def verified(listed: Listed, place: Place | None, *, offline: bool) -> Listed:
    """The same, with why no restore can begin from it, if so; all its files are read."""
    if listed.snapshot is None:
        return listed
    why = None
    if place is not None:
        why = usable(place)(listed.snapshot)
    elif not offline:
        why = "the journal has no such partition"
    if why is None:
        try:
            listed.snapshot.verify()
        except SnapshotUnusable as damage:
            why = str(damage)
    return listed._replace(why=why or "")
