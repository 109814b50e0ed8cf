"""Where the audit of a partition begins: at the journal's first record, or at a snapshot."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

from refrain.ops.audit.refold import PartitionFold
from refrain.ops.audit.sampling import Sample
from refrain.ops.cluster.last_commit import journal_id, last_meta
from refrain.streams.errors import SnapshotUnusable, StoreDamaged
from refrain.streams.kafka.interface import Cluster
from refrain.streams.lookup.restore import read_skips
from refrain.streams.snapshots.shelf import PASSED_OVER, Shelf, refuse
from refrain.streams.snapshots.snapshot import Snapshot, place_of

logger = logging.getLogger(__name__)


class Beginning(NamedTuple):
    """Beginning of an audit."""

    fold: PartitionFold
    snapshot: Snapshot | None
    """What it begins from; None: the first record."""

    @property
    def name(self) -> str:
        """The snapshot's name, empty without one."""
        return "" if self.snapshot is None else self.snapshot.name

    @property
    def documents_offset(self) -> int:
        """What of `documents` comes next."""
        return 0 if self.snapshot is None else self.snapshot.manifest.documents_offset


def begin_at(
    cluster: Cluster, partition: int, shelf: Shelf | None, from_ms: int, sample: Sample | None = None
) -> Beginning:
    """Begin from the newest snapshot of the shelf that suits and verifies, made no later than `from_ms` (0: ever).

    Each that is not used is told, and where there is none. Without one the fold begins with nothing.
    """
    shards, skips = cluster.partitions("journal"), read_skips(cluster, partition)
    journal = journal_id(cluster, last_meta(cluster, partition))
    if shelf is None:
        return Beginning(PartitionFold(partition, shards, journal, skips, None, sample), None)
    latest = cluster.offsets_at("journal", from_ms)[partition] if from_ms else None
    place = place_of(cluster, partition, int(time.time() * 1_000))

    def why_not(snapshot: Snapshot) -> str | None:
        late = latest is not None and snapshot.manifest.journal_offset > latest
        return PASSED_OVER if late else snapshot.why_unsuited(place)

    for snapshot in shelf.suited(partition, why_not):
        try:
            return Beginning(PartitionFold(partition, shards, journal, skips, snapshot, sample), snapshot)
        except (SnapshotUnusable, StoreDamaged) as damage:
            refuse(partition, snapshot.name, str(damage))
    logger.warning("shard %d: no snapshot is used: the audit begins with the journal's first record", partition)
    return Beginning(PartitionFold(partition, shards, journal, skips, None, sample), None)


def first_decision(cluster: Cluster, partition: int, journal_offset: int) -> int:
    """An offset of `decisions` before which all are of earlier records of the journal; found by a few reads."""
    from refrain.streams.govern.decision_seek import DecisionSeek, JournalPlace

    first = cluster.ends("decisions")[partition][0]
    if journal_offset == 0:
        return first
    seek = DecisionSeek(cluster, JournalPlace(cluster.topic_id("journal"), partition, journal_offset), first)
    try:
        return seek.begin()
    finally:
        seek.close()
