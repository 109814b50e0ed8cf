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

import logging
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from refrain.schemas.journal import Tick
from refrain.schemas.topics import DOCUMENT_BYTES_MAX, JOURNAL_BYTES_MAX
from refrain.streams.errors import OffsetLost, WrongSetup
from refrain.streams.kafka.config import BATCH_BYTES_MAX
from refrain.streams.kafka.interface import Cluster, Outgoing, Record
from refrain.streams.lookup.commit import Commits
from refrain.streams.lookup.commit_schedule import CommitSchedule
from refrain.streams.lookup.documents import Documents
from refrain.streams.lookup.folding import Folding
from refrain.streams.lookup.handover import Handover
from refrain.streams.lookup.mending import Mending
from refrain.streams.lookup.metrics import LookupMetrics
from refrain.streams.lookup.reports import CommitReports
from refrain.streams.lookup.restore import OpenStore
from refrain.streams.lookup.restoring import Restorer
from refrain.streams.lookup.shards import FoldedShards
from refrain.streams.lookup.snapshot_schedule import SnapshotSchedule, begin_snapshots
from refrain.streams.lookup.stopped import StoppedShards
from refrain.streams.lookup.stopping import Stopping
from refrain.streams.lookup.telemetry import Telemetry
from refrain.streams.lookup.ticks import Ticks
from refrain.streams.messaging.key_file import route_signer
from refrain.streams.messaging.sending import fitting_producer, fitting_transactions
from refrain.streams.messaging.shards import journal_made_anew, repartitioned, shards_of
from refrain.streams.messaging.signed_routes import RouteSigner, SigningProducer
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.topic_check import require_room, require_topics
from refrain.streams.snapshots.shelf import Shelf, location_of
from refrain.streams.store.interface import Store
from refrain.streams.store.rocksdb import open_or_replace
from refrain.streams.store.state_directory import lock_state_directory

logger = logging.getLogger(__name__)

POLL_S = 0.1
SWITCH_S = 0.0005
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
        context: WorkerContext,
        open_store: OpenStore,
        name: str,
        routes: RouteSigner,
        elapsed_s: Callable[[], float] = time.monotonic,
        background: Executor | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        """`name` is one that no other worker has now; `background` runs the transactions, `shelf` has snapshots.

        While a transaction is waited for, `context.stop` is asked all the same, as a sign of life. Raises WrongSetup
        when topics are missing or do not fit together.
        """
        settings, cluster, now_ms = context.settings, context.cluster, context.now_ms
        self.metrics = LookupMetrics(context.metrics)
        """What it and what works beside it count."""
        self._incarnation = incarnation = check_journal(cluster)
        self._partitions = partitions = cluster.partitions("journal")
        self._cluster = cluster
        self._batch_max = settings.lookup.batch_max
        self._progress = context.progress(NAME, "journal")
        self.joined = False
        """Whether it has been assigned partitions."""
        signing = SigningProducer(cluster.producer(), routes)
        self._producer = fitting_producer(signing, cluster, settings.prefix, NAME, context.metrics)
        self._transactions = fitting_transactions(
            cluster.transactional(f"{NAME}-{name}"), cluster, settings.prefix, NAME, context.metrics
        )
        self._consumer = cluster.consumer(
            "journal", NAME, self, from_start=False, instance=name if settings.lookup.keep_shards else ""
        )
        self._background = background or ThreadPoolExecutor(1, thread_name_prefix="commit")
        documents = Documents(cluster, elapsed_s)
        self._restorer = Restorer(cluster, incarnation, open_store, self.metrics, now_ms, documents, shelf)
        self.stopped = StoppedShards(partitions, incarnation, settings.lookup.stopped_pass_after_ms, now_ms)
        self._stopping = Stopping(
            self.stopped, cluster, self._consumer, self._restorer, self.metrics, self._send, now_ms
        )
        reports = CommitReports(now_ms, elapsed_s)
        self._commits = Commits(
            self._transactions,
            self._consumer,
            self._background,
            self.metrics,
            now_ms,
            reports,
            self.stopped,
            documents,
            context.stop,
        )
        self._ticks = Ticks(now_ms, elapsed_s)
        self.shards = FoldedShards(self._commits, self._ticks, documents)
        self._schedule = CommitSchedule(settings.lookup, self.shards, reports, elapsed_s)
        self._telemetry = Telemetry(self.shards, self.metrics, context.traces, now_ms)
        self._mending = Mending(self.shards, self._stopping, self._consumer, self.metrics)
        self._folding = Folding(self.shards, self.stopped, self._mending, self._progress)
        self._handover = Handover(
            cluster, self._consumer, self._restorer, self._stopping, self.shards, documents, self._progress
        )

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
        back = self._handover.resume_restored()
        if back:
            # What was read of them before is not what they go on with.
            records = [record for record in records if record.partition not in back]
        folded = 0
        for run in self._progress.runs(records):
            with self._progress.in_hand(run):
                folded += self._work(run)  # steps 1 and 2
        self._tick()
        self._commits.settle(wait=False)  # step 4 of what was begun
        self._mending.mend()
        self._schedule.folded(folded)
        if self._schedule.is_due({record.partition for record in records}):
            self._schedule.begun()
            self._commits.begin(self.shards)  # step 3
        if self._schedule.is_late:
            self._commits.settle(wait=True)
        return folded

    def _poll(self, timeout_s: float) -> list[Record]:
        try:
            return self._consumer.poll(self._batch_max, timeout_s)
        except OffsetLost as cut:
            if cut.partition is None:
                raise
            if self._cluster.topic_id("journal") != self._incarnation:
                raise journal_made_anew() from cut
            self._mending.cut(cut.partition)
            return []

    def _work(self, records: Sequence[Record]) -> int:
        """Fold records and send their effects; returns how many were folded."""
        started_s = time.perf_counter()
        results = self._folding.fold(records)  # step 1
        effects = self._telemetry.effects(records, results)
        self._send(effects)  # step 2
        self._telemetry.sent(records, results, effects, started_s)
        return sum(each is not None for each in results)

    def _send(self, effects: Sequence[Outgoing]) -> None:
        if effects:
            # The fold knows no prefix, and what it folds may name any reply topic.
            self._producer.send(effects)

    def _tick(self) -> None:
        """Append a Tick to each shard whose next timer is due, unless one is on its way."""
        self._send([Outgoing("journal", None, Tick().encode(), (), each) for each in self._ticks.due(self.shards)])

    def commit(self) -> None:
        """Commit now (steps 3 and 4) every shard that folded something; after a rebalance a later turn does."""
        self.shards.commit()

    def close(self) -> None:
        """Commit, leave the group, close the stores."""
        self.shards.commit_all()
        self._consumer.close()
        self._handover.give_back(list(self.shards))
        self._restorer.close()
        self._background.shutdown()
        self._producer.close()
        self._transactions.close()

    # -- rebalance (called from within poll) ------------------------------------------------------------

    def assigned(self, partitions: Sequence[int]) -> None:
        """Begin to restore the shards; the partitions stay paused meanwhile.

        Raises WrongSetup for one that was added to the journal since this worker began.
        """
        if max(partitions, default=0) >= self._partitions:
            raise WrongSetup(repartitioned(max(partitions) + 1, self._partitions))
        self.joined = True
        self._handover.begin(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Commit while the partitions are still ours, then close their shards."""
        self.shards.commit_all()
        self._handover.give_back(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        """Close the shards uncommitted: another worker owns the partitions, and folds again what was not committed."""
        self._handover.give_back(partitions)


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
        worker = LookupWorker(context, open_store, directory.name, route_signer(settings), shelf=shelf)
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
