"""Takes over the shards of partitions that a worker is assigned, restored beside its folding, and gives them back."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence

from refrain.schemas.base import RecoveryWay
from refrain.schemas.stats import StopReason
from refrain.streams.kafka.interface import Cluster, Consumer
from refrain.streams.lookup.documents import Documents
from refrain.streams.lookup.restoring import Restorer
from refrain.streams.lookup.shards import FoldedShards
from refrain.streams.lookup.skipping import skip_cut, skip_passed, skip_set_aside
from refrain.streams.lookup.stopping import Stopping
from refrain.streams.runtime.progress import Progress
from refrain.streams.shard.state import Shard

logger = logging.getLogger(__name__)


class Handover:
    """Takes partitions over for one worker, and gives them back. All is called on the thread that polls."""

    def __init__(
        self,
        cluster: Cluster,
        consumer: Consumer,
        restorer: Restorer,
        stopping: Stopping,
        shards: FoldedShards,
        documents: Documents,
        progress: Progress,
    ) -> None:
        """`progress` finds records that have ended a worker twice."""
        self._cluster = cluster
        self._consumer = consumer
        self._restorer = restorer
        self._stopping = stopping
        self._shards = shards
        self._documents = documents
        self._progress = progress

    def begin(self, partitions: Sequence[int]) -> None:
        """Begin to restore the shards of these partitions, which stay paused meanwhile."""
        self._progress.assigned(partitions)
        known = self._consumer.committed(partitions)
        for partition in partitions:
            self._documents.assigned(partition, known[partition].metadata if partition in known else "")
            self._restorer.begin(partition)

    def give_back(self, partitions: Sequence[int]) -> None:
        """Close the shards of these partitions, uncommitted changes lost, and forget all of them."""
        for partition in partitions:
            self._shards.forget(partition)
            self._restorer.abandon(partition)
            self._stopping.drop(partition)
        self._progress.released(partitions)

    def resume_restored(self) -> set[int]:
        """Resume the partitions whose shards are restored, from the offset in their `meta`; which they are."""
        back = self._restorer.restored()
        if not back:
            return set()
        firsts = {partition: first for partition, (first, _) in self._cluster.ends("journal").items()}
        for partition, shard, failure, skips in back:
            if failure is not None:
                self._stopping.stop_without_state(partition, failure, skips)
            elif shard is not None:
                self._resume(shard, firsts[partition])
        # What was restored stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        return {each.partition for each in back}

    def _resume(self, shard: Shard, first: int) -> None:
        """Let a shard fold on, as an order to recover says if there is one. `first` is the journal's first offset."""
        partition = shard.partition
        order = self._stopping.shards.ordered.get(partition)
        position = shard.next_offset
        jumps = order is not None and order.how is RecoveryWay.WATERMARK and order.position == position
        if position < first and not jumps:
            shard.store.close()
            return self._stopping.stop(shard, StopReason.JOURNAL_CUT, position)
        self._shards.add(shard)
        self._take_passed(shard)
        if position < first:
            skip_cut(shard, first)
        skip_set_aside(shard, self._progress, self._cluster)
        self._consumer.seek(partition, shard.next_offset)
        self._consumer.resume([partition])
        logger.info("shard %d folds on from offset %d", partition, shard.next_offset)
        return None

    def _take_passed(self, shard: Shard) -> None:
        """Give a shard that was stopped what was passed meanwhile."""
        if shard.partition not in self._stopping.shards:
            return
        commits = self._shards.commits
        commits.settle(wait=True)
        passed = self._stopping.forget(shard.partition)
        commits.report_anew(shard.partition)
        if passed is not None:
            skip_passed(shard, passed.skips)
            commits.decided(shard.partition, passed.decisions)
