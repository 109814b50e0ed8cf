"""Lets go of shards that cannot go on as they are, and has each restored or stopped (`stopping.py`)."""

from __future__ import annotations

import logging

from refrain.schemas.stats import StopReason
from refrain.streams.errors import ShardBroken, StoreDamaged, StoreUnusable
from refrain.streams.kafka.interface import Consumer
from refrain.streams.lookup.metrics import NAME, LookupMetrics
from refrain.streams.lookup.shards import FoldedShards
from refrain.streams.lookup.stopping import Stopping

logger = logging.getLogger(__name__)


class Mending:
    """Mends the shards of one worker."""

    def __init__(self, shards: FoldedShards, stopping: Stopping, consumer: Consumer, metrics: LookupMetrics) -> None:
        self._shards = shards
        self._stopping = stopping
        self._consumer = consumer
        self._metrics = metrics
        self._unreadable: set[int] = set()
        """Partitions whose next record is of an unknown version."""

    def awaits(self, partition: int) -> bool:
        """Whether a shard folds no more until `mend`, which stops it."""
        return partition in self._unreadable

    def unknown_version(self, partition: int) -> None:
        """A shard's next record is of an unknown version: it is stopped once the effects of this batch are sent."""
        self._metrics.shared.refused.labels(NAME, "unknown_version").inc()
        self._unreadable.add(partition)

    def broken(self, partition: int, failure: StoreDamaged | StoreUnusable | ShardBroken) -> None:
        """A shard's memory or store is not what was decided: restore it, or stop it when that does not help."""
        shard = self._shards.let_go(partition)
        if shard is None:
            return
        self._consumer.pause([partition])
        logger.error("shard %d: %s", partition, failure)
        self._stopping.restore_or_stop(shard, failure)

    def cut(self, partition: int) -> None:
        """The journal was cut below what is to be read next of this partition."""
        if partition in self._shards:
            self._leave(partition, StopReason.JOURNAL_CUT)
        elif partition in self._stopping.shards:
            self._stopping.read(partition, 0)

    def mend(self) -> None:
        """Stop or restore what could not go on in this turn, and look after what is stopped."""
        for partition, failure in list(self._shards.commits.failed.items()):
            self.broken(partition, failure)
        while self._unreadable:
            self._leave(self._unreadable.pop(), StopReason.UNKNOWN_VERSION)
        self._stopping.look_after()

    def _leave(self, partition: int, reason: StopReason) -> None:
        """Commit a shard and stop it: it is whole, and cannot go on. All its effects are sent."""
        if partition not in self._shards:
            return
        self._shards.commit()
        shard = self._shards.let_go(partition)
        if shard is not None:
            self._stopping.stop(shard, reason, shard.next_offset)
