"""The lookup worker: folds journal partitions, answers at once, commits twice a second or when much was folded.

The commit, for all partitions of the worker together:

1. fold a batch over the uncommitted changes; collect effects and changes;
2. produce the effects, forwards with signed routes, and check every delivery report: clients have their answers here;
3. every `commit_interval_ms`, in one transaction, while folding goes on: changes and `meta` to `documents`, the
   decisions, and the offsets with the group's metadata, which fences a worker that has lost its partitions. This is
   the commit (`commit`);
4. write the changes to RocksDB in one batch, with their checkpoint in `documents`.

What a crash leaves. After 1: nothing. After 2: effects that will be produced again, byte-identical and with the
same ids. After 3: a RocksDB that is behind; it reads `documents` on from where it ends. After 4: nothing.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from refrain.schemas.base import RecoveryWay
from refrain.schemas.journal import Tick
from refrain.schemas.stats import StopReason
from refrain.schemas.topics import DOCUMENT_BYTES_MAX, JOURNAL_BYTES_MAX
from refrain.streams.errors import (
    JournalUnreadable,
    OffsetLost,
    ShardBroken,
    StoreDamaged,
    StoreUnusable,
    WrongSetup,
)
from refrain.streams.kafka.config import BATCH_BYTES_MAX
from refrain.streams.kafka.interface import Cluster, Outgoing, Record
from refrain.streams.lookup.commit import Commits
from refrain.streams.lookup.documents import Documents
from refrain.streams.lookup.metrics import LookupMetrics, count
from refrain.streams.lookup.reports import CommitReports
from refrain.streams.lookup.request_times import RequestTimes
from refrain.streams.lookup.restore import Beginning, OpenStore, Restorer
from refrain.streams.lookup.skipping import skip_cut, skip_passed, skip_set_aside
from refrain.streams.lookup.snapshot_schedule import SnapshotSchedule, begin_snapshots
from refrain.streams.lookup.spans import DecisionSpans
from refrain.streams.lookup.stopped import StoppedShards
from refrain.streams.lookup.stopping import RESTORES_MAX, Stopping
from refrain.streams.lookup.ticks import Ticks
from refrain.streams.messaging.key_file import route_signer
from refrain.streams.messaging.sending import fitting_producer, fitting_transactions
from refrain.streams.messaging.shards import journal_made_anew, repartitioned, shards_of
from refrain.streams.messaging.signed_routes import RouteSigner, SigningProducer
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.progress import Progress
from refrain.streams.runtime.topic_check import require_room, require_topics
from refrain.streams.settings import Settings
from refrain.streams.shard.fold import fold
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.snapshots.shelf import Shelf, location_of
from refrain.streams.store.interface import Store
from refrain.streams.store.rocksdb import open_or_replace
from refrain.streams.store.state_directory import lock_state_directory
from refrain.streams.traces.interface import OFF, Traces

logger = logging.getLogger(__name__)

POLL_S = 0.1
SWITCH_S = 0.0005
PARTS_MAX = 1_000
"""Parts of the state of all shards that are written again before a worker gives them away."""
NAME = "lookup"
ROOM = {
    "journal": JOURNAL_BYTES_MAX,
    "documents": DOCUMENT_BYTES_MAX,
    **dict.fromkeys(("decisions", "acknowledgements", "stats"), BATCH_BYTES_MAX),
}
"""What topics must take at once (bytes): the largest records of the state, and whole batches of a transaction."""


class LookupWorker:
    """Runs the shards of the partitions that its consumer is assigned: folds, answers, commits, restores."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        metrics: Metrics,
        open_store: OpenStore,
        name: str,
        routes: RouteSigner,
        now_ms: Callable[[], int],
        elapsed_s: Callable[[], float] = time.monotonic,
        background: Executor | None = None,
        alive: Callable[[], object] = lambda: None,
        progress: Progress | None = None,
        shelf: Shelf | None = None,
        traces: Traces = OFF,
    ) -> None:
        """`background` runs the transactions; `alive` is called while one is waited for.

        `progress` finds records that have ended a worker twice, `shelf` has the snapshots of shards, `traces` has spans
        of decisions. Raises WrongSetup when topics are missing or do not fit together.
        """
        self._settings = settings.lookup
        self._metrics = LookupMetrics(metrics)
        self._request_times = RequestTimes(self._metrics.request_seconds)
        self._spans = DecisionSpans(traces, self._categories)
        self._now_ms = now_ms
        self._elapsed_s = elapsed_s
        self._ticks = Ticks(now_ms, elapsed_s)
        self._incarnation = incarnation = check_journal(cluster)
        self._shards = shards = cluster.partitions("journal")
        self._cluster = cluster
        self._documents = Documents(cluster, elapsed_s)
        self._restorer = Restorer(cluster, incarnation, open_store, self._metrics, now_ms, self._documents, shelf)
        self.shards: dict[int, Shard] = {}
        self.stopped = StoppedShards(shards, incarnation, self._settings.stopped_pass_after_ms, now_ms)
        self._progress = progress or Progress(None, shards)
        self._unreadable: dict[int, int] = {}
        """By partition: the offset of a journal record of an unknown version."""
        self.joined = False
        self._commit_due = elapsed_s()
        self._since_commit = 0
        """Records folded since the last commit began."""
        signing = SigningProducer(cluster.producer(), routes)
        self._producer = fitting_producer(signing, cluster, settings.prefix, NAME, metrics)
        self._transactions = fitting_transactions(
            cluster.transactional(f"{NAME}-{name}"), cluster, settings.prefix, NAME, metrics
        )
        self._consumer = cluster.consumer(
            "journal", NAME, self, from_start=False, instance=name if settings.lookup.keep_shards else ""
        )
        self._background = background or ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._stopping = Stopping(
            self.stopped, cluster, self._consumer, self._restorer, self._metrics, self._send, now_ms
        )
        self._reports = CommitReports(now_ms, elapsed_s)
        self._commits = Commits(
            self._transactions,
            self._consumer,
            self._background,
            self._metrics,
            now_ms,
            self._reports,
            self.stopped,
            self._documents,
            alive,
        )

    @property
    def metrics(self) -> LookupMetrics:
        """What it and what works beside it count."""
        return self._metrics

    @property
    def ready(self) -> bool:
        """Whether the worker is ready: every assigned partition is being folded."""
        return self.joined and not self._restorer.busy and not self.stopped

    @property
    def restoring(self) -> bool:
        """Whether a shard is being restored."""
        return self._restorer.busy

    @property
    def trouble(self) -> str:
        """Which shards are stopped, why, and what mends them; empty when none is."""
        return self._stopping.trouble

    # -- one turn -------------------------------------------------------------------------------------

    def turn(self, timeout_s: float = POLL_S) -> int:
        """Poll and fold a batch, send its effects, and commit when due. Returns the number of records folded."""
        records = self._poll(timeout_s)
        back = self._resume_restored()
        if back:
            # What was read of them before is not what they go on with.
            records = [record for record in records if record.partition not in back]
        folded = 0
        for run in self._progress.runs(records):
            with self._progress.in_hand(run):
                folded += self._work(run)
        self._tick()
        self._commits.settle(wait=False)  # step 4 of what was begun
        self._mend()
        self._since_commit += folded
        if self._is_commit_due({record.partition for record in records}):
            self._commit_due = self._elapsed_s() + self._settings.commit_interval_ms / 1_000
            self._since_commit = 0
            self._commits.begin(self.shards)  # step 3
        if self._uncommitted_bytes() > 2 * self._settings.overlay_bytes_max:
            self._commits.settle(wait=True)
        return folded

    def _poll(self, timeout_s: float) -> list[Record]:
        try:
            return self._consumer.poll(self._settings.batch_max, timeout_s)
        except OffsetLost as cut:
            if cut.partition is None:
                raise
            self._cut(cut.partition)
            return []

    def _work(self, records: Sequence[Record]) -> int:
        """Fold records and send their effects; returns how many were folded."""
        started = time.perf_counter()
        results = [self._fold(record) for record in records]  # step 1
        folded = [each for each in results if each is not None]
        if self._spans.on:
            effects = self._spans.effects(zip(records, results, strict=True))
        else:
            effects = [effect for each in folded for effect in each.effects]
        self._send(effects)  # step 2
        self._spans.sent()
        if records:
            now_ms = self._now_ms()
            self._metrics.batch_done(time.perf_counter() - started, len(records), now_ms - records[-1].timestamp_ms)
            self._metrics.shared.count_sent(NAME, effects)
            self._request_times.take(folded, effects, now_ms)
            known = self._categories()
            for each in folded:
                count(self._metrics, each, known)
            for partition in {record.partition for record in records} & self.shards.keys():
                self._metrics.show_size(self.shards[partition])
        return len(folded)

    def commit(self) -> None:
        """Commit now (steps 3 and 4) every shard that folded something; after a rebalance a later turn does."""
        self._commits.settle(wait=True)
        self._commits.begin(self.shards)
        self._commits.settle(wait=True)

    def _commit_all(self) -> None:
        """Commit, also what is left to be written again to a topic that was made anew: another owner does not have it.

        After a rebalance nothing is taken any more, and that is left.
        """
        self.commit()
        for _ in range(PARTS_MAX):
            if not self._documents.is_behind(self.shards):
                break
            self.commit()

    def close(self) -> None:
        """Commit, leave the group, close the stores."""
        self._commit_all()
        self._consumer.close()
        self._drop(list(self.shards))
        self._restorer.close()
        self._background.shutdown()
        self._producer.close()
        self._transactions.close()

    # -- rebalance (called from within poll) ------------------------------------------------------------

    def assigned(self, partitions: Sequence[int]) -> None:
        """Begin to restore the shards; the partitions stay paused meanwhile.

        Raises WrongSetup for one that was added to the journal since this worker began.
        """
        if max(partitions, default=0) >= self._shards:
            raise WrongSetup(repartitioned(max(partitions) + 1, self._shards))
        self.joined = True
        self._progress.assigned(partitions)
        known = self._consumer.committed(partitions)
        for partition in partitions:
            self._documents.assigned(partition, known[partition].metadata if partition in known else "")
            self._restorer.begin(partition)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Commit while the partitions are still ours, then close their shards."""
        self._commit_all()
        self._drop(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        """Close the shards uncommitted: another worker owns the partitions, and folds again what was not committed."""
        self._commits.settle(wait=True)
        self._drop(partitions)

    def _drop(self, partitions: Sequence[int]) -> None:
        self._progress.released(partitions)
        for partition in partitions:
            self._restorer.abandon(partition)
            self._stopping.drop(partition)
            self._unreadable.pop(partition, None)
            self._commits.remove(partition)
            self._ticks.drop(partition)
            shard = self.shards.pop(partition, None)
            if shard is not None:
                shard.store.close()

    def _resume_restored(self) -> set[int]:
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
        order = self.stopped.ordered.get(partition)
        position = shard.next_offset
        jumps = order is not None and order.how is RecoveryWay.WATERMARK and order.position == position
        if position < first and not jumps:
            shard.store.close()
            return self._stopping.stop(shard, StopReason.JOURNAL_CUT, position)
        self.shards[partition] = shard
        self._commits.add(shard)
        self._take_over(shard)
        if position < first:
            skip_cut(shard, first)
        skip_set_aside(shard, self._progress, self._cluster)
        self._consumer.seek(partition, shard.next_offset)
        self._consumer.resume([partition])
        logger.info("shard %d folds on from offset %d", partition, shard.next_offset)
        return None

    # -- shards that cannot go on -----------------------------------------------------------------------

    def _take_over(self, shard: Shard) -> None:
        """Give a shard that was stopped what was passed meanwhile."""
        if shard.partition not in self.stopped:
            return
        self._commits.settle(wait=True)
        passed = self._stopping.forget(shard.partition)
        self._reports.renew(shard.partition)
        if passed is None:
            return
        skip_passed(shard, passed.skips)
        if passed.decisions:
            self._commits.decisions.setdefault(shard.partition, []).extend(passed.decisions)

    def _cut(self, partition: int) -> None:
        """The journal was cut below what is to be read next. Raises ClusterFailed where it is another one by now."""
        if self._cluster.topic_id("journal") != self._incarnation:
            raise journal_made_anew()
        shard = self.shards.get(partition)
        if shard is not None:
            self._leave(shard, StopReason.JOURNAL_CUT)
        elif partition in self.stopped:
            self._stopping.read(partition, 0)

    def _leave(self, shard: Shard, reason: StopReason) -> None:
        """Commit a shard and stop it: it is whole, and cannot go on. All its effects are sent."""
        self.commit()
        self._commits.remove(shard.partition)
        self._ticks.soon(shard.partition)
        del self.shards[shard.partition]
        shard.store.close()
        self._stopping.stop(shard, reason, shard.next_offset)

    def _restore_again(self, partition: int, failure: StoreDamaged | StoreUnusable | ShardBroken) -> None:
        """Restore a shard whose memory or store is not what was decided; stop it when that does not help."""
        shard = self.shards.pop(partition)
        self._commits.settle(wait=True)
        self._commits.remove(partition)
        self._ticks.soon(partition)
        self._consumer.pause([partition])
        shard.store.close()
        logger.error("shard %d: %s", partition, failure)
        cause = failure.__cause__ if isinstance(failure, ShardBroken) else failure
        if isinstance(cause, StoreUnusable):
            reason = StopReason.STORE_UNUSABLE
        elif self._stopping.tries_at(partition, shard.next_offset) <= RESTORES_MAX:
            return self._restorer.begin(partition, Beginning(is_fresh=isinstance(cause, StoreDamaged)))
        else:
            reason = StopReason.STORE_DAMAGED if isinstance(cause, StoreDamaged) else StopReason.STATE_BROKEN
        known = self._consumer.committed([partition]).get(partition)
        position = shard.next_offset if known is None else known.next_offset
        return self._stopping.stop(shard, reason, position)

    def _mend(self) -> None:
        """Stop or restore what could not go on in this turn, and look after what is stopped."""
        for partition, failure in list(self._commits.failed.items()):
            if partition in self.shards:
                self._restore_again(partition, failure)
        for partition in list(self._unreadable):
            del self._unreadable[partition]
            if partition in self.shards:
                self._leave(self.shards[partition], StopReason.UNKNOWN_VERSION)
        self._stopping.look_after()

    # -- folding --------------------------------------------------------------------------------------

    def _fold(self, record: Record) -> FoldResult | None:
        shard = self.shards.get(record.partition)
        if shard is None:
            return self._take_stopped(record)
        if record.offset < shard.next_offset or record.partition in self._unreadable:
            return None
        try:
            folded = fold(shard, record)
        except JournalUnreadable as unreadable:
            logger.error("%s", unreadable)
            self._metrics.shared.refused.labels(NAME, "unknown_version").inc()
            self._unreadable[record.partition] = record.offset
            return None
        except (StoreDamaged, StoreUnusable, ShardBroken) as failure:
            self._restore_again(record.partition, failure)
            return None
        if folded.more:
            self._ticks.soon(record.partition)
        if folded.decisions:
            self._commits.decisions.setdefault(record.partition, []).extend(folded.decisions)
        return folded

    def _take_stopped(self, record: Record) -> FoldResult | None:
        if record.partition not in self.stopped or self._progress.is_set_aside(record):
            return None
        return self.stopped.take(record)

    def _send(self, effects: Sequence[Outgoing]) -> None:
        if effects:
            # The fold knows no prefix, and what it folds may name any reply topic.
            self._producer.send(effects)

    def _tick(self) -> None:
        """Append a Tick to each shard whose next timer is due, unless one is on its way."""
        self._send([Outgoing("journal", None, Tick().encode(), (), each) for each in self._ticks.due(self.shards)])

    def _is_commit_due(self, folded: Collection[int]) -> bool:
        """Whether to commit: by time, by what was folded since, or because somebody waits for an acknowledgement."""
        settings = self._settings
        return (
            self._elapsed_s() >= self._commit_due
            or self._since_commit >= settings.commit_records
            or self._uncommitted_bytes() > settings.overlay_bytes_max
            or any(self._reports.is_awaited(self.shards[p]) for p in folded if p in self.shards)
        )

    def _uncommitted_bytes(self) -> int:
        return sum(shard.uncommitted_bytes for shard in self.shards.values())

    def _categories(self) -> set[str]:
        """The categories that the policy defines."""
        return {category for shard in self.shards.values() for category in shard.lives}


def check_journal(cluster: Cluster) -> str:
    """Check the topics; returns the journal's incarnation (its topic id). Raises WrongSetup when they do not fit."""
    require_topics(cluster, NAME)
    require_room(cluster, NAME, ROOM)
    shards_of(cluster)
    return cluster.topic_id("journal")


def run_lookup(context: WorkerContext) -> None:
    """Run a lookup worker until `stop`, with its stores under `state_dir`."""
    settings, cluster = context.settings, context.cluster
    incarnation = f"{check_journal(cluster)}.{cluster.topic_id('documents')}"
    shelf = Shelf(location_of(settings))
    # The commit's thread must not keep the folding one waiting for the interpreter (by default up to 5 ms).
    sys.setswitchinterval(SWITCH_S)
    directory = lock_state_directory(settings.state_dir)
    folder = directory.folder(incarnation)
    # Not kept from one process to the next: what a killed one leaves there is deleted with other incarnations.
    work = directory.path / "snapshot-work"

    def open_store(partition: int) -> Store:
        return open_partition_store(folder, partition)

    try:
        routes = route_signer(settings)
        worker = LookupWorker(
            settings,
            cluster,
            context.metrics,
            open_store,
            directory.name,
            routes,
            context.now_ms,
            alive=context.stop,
            progress=context.progress(NAME, "journal"),
            shelf=shelf,
            traces=context.traces,
        )
        begin = partial(begin_snapshots, settings, work)
        with closing(SnapshotSchedule(settings.lookup.snapshot_every_ms, begin, worker.metrics)) as snapshots:
            while not context.stop():
                worker.turn()
                snapshots.turn(worker.shards)
                context.trouble(worker.trouble)
                if worker.joined and not worker.restoring:
                    context.ready()
            worker.close()
    finally:
        directory.release()


def open_partition_store(folder: Path, partition: int) -> Store:
    """Open the store of one partition; a damaged one is replaced by an empty one."""
    store, damage = open_or_replace(folder / str(partition))
    if damage is not None:
        logger.warning("shard %d: local store is deleted and restored: %s", partition, damage)
    return store
