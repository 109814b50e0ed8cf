"""Stops shards that cannot go on, reads their partitions meanwhile, and restores them when they may go on.

A shard is let go of before it comes here (`mending.py`), and taken over again when it is restored (`handover.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from refrain.schemas.base import RecoveryWay
from refrain.schemas.journal import RecoveryOrdered
from refrain.schemas.stats import Stopped, StopReason
from refrain.streams.errors import ChangelogDamaged, ChangelogLost, ShardBroken, StoreDamaged, StoreUnusable
from refrain.streams.kafka.interface import Cluster, Consumer, Outgoing
from refrain.streams.lookup.metrics import LookupMetrics
from refrain.streams.lookup.remedies import remedy
from refrain.streams.lookup.restoring import Beginning, Restorer, ShardFailure
from refrain.streams.lookup.stopped import PassedPart, StoppedShard, StoppedShards, stats_of_stopped
from refrain.streams.shard.skips import Skips
from refrain.streams.shard.state import Shard
from refrain.streams.snapshots.changelog import last_commit
from refrain.streams.spans import is_due

logger = logging.getLogger(__name__)

RESTORES_MAX = 3
"""How often a shard is restored at one record before it is stopped."""
RETRY_MS = 30_000
"""How often a shard is tried again whose store the disk does not take."""


class Stopping:
    """Stops shards of one worker and looks after those that are."""

    def __init__(
        self,
        shards: StoppedShards,
        cluster: Cluster,
        consumer: Consumer,
        restorer: Restorer,
        metrics: LookupMetrics,
        send: Callable[[Sequence[Outgoing]], None],
        now_ms: Callable[[], int],
    ) -> None:
        """`shards` are the stopped ones; `send` sends effects and waits until they are acknowledged."""
        self.shards = shards
        self._cluster = cluster
        self._consumer = consumer
        self._restorer = restorer
        self._metrics = metrics
        self._send = send
        self._now_ms = now_ms
        self._tries: dict[int, tuple[int, int]] = {}
        """By partition: the offset at which its shard was restored again lately, and how often there."""
        self._obeyed: dict[int, int] = {}
        """By partition: the version of the last order to recover that was carried out."""
        self._retry_ms = 0

    @property
    def trouble(self) -> str:
        """Which shards are stopped, why, and what mends them; empty when none is."""
        return "; ".join(
            f"shard {partition} is stopped at offset {told.position} ({told.reason.value}): "
            + remedy(partition, told.reason)
            for partition, told in self.shards.told().items()
        )

    def drop(self, partition: int) -> None:
        """Forget all of a partition that another worker owns."""
        self.forget(partition)
        self._tries.pop(partition, None)
        self._obeyed.pop(partition, None)

    def restore_or_stop(self, shard: Shard, failure: StoreDamaged | StoreUnusable | ShardBroken) -> None:
        """Restore a shard whose memory or store is not what was decided; stop it when that does not help."""
        partition = shard.partition
        cause = failure.__cause__ if isinstance(failure, ShardBroken) else failure
        if isinstance(cause, StoreUnusable):
            reason = StopReason.STORE_UNUSABLE
        elif self._tries_at(partition, shard.next_offset) <= RESTORES_MAX:
            return self._restorer.begin(partition, Beginning(is_fresh=isinstance(cause, StoreDamaged)))
        else:
            reason = StopReason.STORE_DAMAGED if isinstance(cause, StoreDamaged) else StopReason.STATE_BROKEN
        known = self._consumer.committed([partition]).get(partition)
        return self.stop(shard, reason, shard.next_offset if known is None else known.next_offset)

    def stop(self, shard: Shard, reason: StopReason, position: int) -> None:
        """Stop one shard, which has committed up to `position`; the others go on."""
        told = Stopped(reason=reason, position=position, offset=shard.next_offset, since_ms=self._now_ms())
        before = self.forget(shard.partition)
        for first, skip in [] if before is None else before.skips.rows():
            shard.skips.put(first, skip)
        # What it has folded since is answered, and is folded again when it goes on.
        self.shards.add(shard.partition, told, shard.skips, shard.highwater, shard.next_offset)
        if before is not None:
            # It was stopped for another reason, and what was passed then is not committed yet.
            self.shards.give_back(shard.partition, PassedPart(position, before.rows, before.decisions))
        self._tell(shard.partition, told)

    def stop_without_state(self, partition: int, failure: ShardFailure, skips: Skips) -> None:
        """Stop a shard that could not be restored."""
        if partition in self.shards:
            # It was tried again; questions are passed as before.
            return None
        if isinstance(failure, StoreDamaged) and self._tries_at(partition, -1) <= RESTORES_MAX:
            return self._restorer.begin(partition, Beginning(is_fresh=True))
        position = self._position(partition)
        reason, offset = StopReason.STORE_DAMAGED, position
        if isinstance(failure, ChangelogLost):
            reason = StopReason.DOCUMENTS_LOST
        elif isinstance(failure, ChangelogDamaged):
            reason, offset = StopReason.DOCUMENTS_DAMAGED, failure.offset
        elif isinstance(failure, StoreUnusable):
            reason = StopReason.STORE_UNUSABLE
        logger.error("shard %d: %s", partition, failure)
        told = Stopped(reason=reason, position=position, offset=offset, since_ms=self._now_ms())
        self.shards.add(partition, told, skips, {}, position)
        return self._tell(partition, told)

    def _position(self, partition: int) -> int:
        """The journal offset up to which a shard without state has decided.

        The group's position is written with each commit; `documents` tells where somebody has set it back, and the end
        of the journal where it was set ahead.
        """
        committed = self._consumer.committed([partition]).get(partition)
        position = 0 if committed is None else committed.next_offset
        try:
            last = last_commit(self._cluster, partition)
            decided = 0 if last is None else last.progress.next_offset
        except ValueError:
            decided = 0
        return max(decided, position if position <= self._cluster.end("journal", partition) else 0)

    def _tell(self, partition: int, told: Stopped) -> None:
        """Tell that a shard is stopped, and read its partition without state."""
        position, reason = told.position, told.reason
        self._metrics.stopped.labels(str(partition), reason.value).set(1)
        logger.error("shard %d is stopped at offset %d (%s): %s",
                     partition, position, reason.value, remedy(partition, reason))  # fmt: skip
        self._send([stats_of_stopped(partition, told, self._now_ms())])
        self.read(partition, position)

    def read(self, partition: int, offset: int) -> None:
        """Read a stopped shard's partition from this offset on, or from the first one that is there."""
        first, _ = self._cluster.ends("journal")[partition]
        self._consumer.seek(partition, max(first, offset))
        self._consumer.resume([partition])

    def forget(self, partition: int) -> StoppedShard | None:
        """Forget a stopped shard that goes on, or that another worker owns; what was known of it."""
        one = self.shards.remove(partition)
        if one is not None:
            self._metrics.stopped.remove(str(partition), one.told.reason.value)
        return one

    def _tries_at(self, partition: int, offset: int) -> int:
        """Count one more restore of a shard at this journal offset (-1: before it was loaded); how many it has been."""
        at, times = self._tries.get(partition, (-1, 0))
        times = times + 1 if at == offset else 1
        self._tries[partition] = (offset, times)
        return times

    def look_after(self) -> None:
        """Obey orders to recover, pass questions that waited long enough, try again what the disk did not take."""
        if not self.shards:
            return
        for partition, order in list(self.shards.ordered.items()):
            if partition not in self._restorer and self._obeyed.get(partition) != order.version:
                self._obey(partition, order)
        told = self.shards.told()
        for partition in self.shards.due():
            self.read(partition, told[partition].position)
        if not is_due(self._retry_ms, self._now_ms(), RETRY_MS):
            return
        self._retry_ms = self._now_ms() + RETRY_MS
        self._send([stats_of_stopped(partition, one, self._now_ms()) for partition, one in told.items()])
        for partition, one in told.items():
            if one.reason is StopReason.STORE_UNUSABLE and partition not in self._restorer:
                self._restorer.begin(partition)

    def _obey(self, partition: int, order: RecoveryOrdered) -> None:
        """Carry out an order to recover: the shard goes on once it is restored."""
        self._obeyed[partition] = order.version
        self._tries.pop(partition, None)
        logger.warning("shard %d recovers: %s", partition, order.how.value)
        from_documents = order.how is RecoveryWay.DOCUMENTS
        empty_at = order.position if order.how is RecoveryWay.EMPTY else None
        how = Beginning(is_fresh=from_documents, may_use_snapshots=not from_documents, empty_at=empty_at)
        self._restorer.begin(partition, how)
