"""Restores a shard: from the local store, or a snapshot, then the rest of `documents`, then builds the indexes.

`Restorer` does it on threads of its own for the partitions that a worker is assigned.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from threading import Event, Lock
from typing import NamedTuple

from refrain.schemas.documents import Skip
from refrain.streams.errors import ChangelogDamaged, RestoreAbandoned, RowDamaged, StoreDamaged, StoreUnusable
from refrain.streams.kafka.interface import Cluster
from refrain.streams.lookup.documents import Documents
from refrain.streams.lookup.metrics import LookupMetrics
from refrain.streams.shard.columns import META_KEY, SKIPS
from refrain.streams.shard.index.hnsw import SavedGraph
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.skips import Skips, skip_id
from refrain.streams.shard.state import Shard
from refrain.streams.snapshots.changelog import (
    BEGAN_EMPTY,
    TOMBSTONE_SHARE,
    check_incarnation,
    replay_changelog,
    skips_written,
)
from refrain.streams.snapshots.filling import fill_newest, newest_graphs, wipe_unfilled
from refrain.streams.snapshots.shelf import Shelf, usable
from refrain.streams.snapshots.snapshot import place_of
from refrain.streams.store.interface import Store

logger = logging.getLogger(__name__)

RESTORES_AT_ONCE = 4
CLOSE_WAIT_S = 10.0
OpenStore = Callable[[int], Store]


def restore(
    cluster: Cluster,
    partition: int,
    incarnation: str,
    store: Store,
    now_ms: Callable[[], int],
    stop: Callable[[], bool],
    threads: int = 1,
    shelf: Shelf | None = None,
) -> Shard:
    """Restore the shard as of its last commit, wherever that was made.

    An empty store begins from the newest snapshot of the shelf that suits and verifies, and reads `documents` on from
    there; its graphs spare building those of the index. A store that cannot be read, or is older than the tombstones
    that `documents` still keeps, is wiped and filled anew. Raises ChangelogDamaged for a record of `documents` that
    cannot be read, StoreDamaged for a store that cannot be read even then, StoreUnusable where the disk takes none,
    WrongSetup when `documents` belongs to another journal, and RestoreAbandoned when `stop` says so.
    """

    def look() -> None:
        if stop():
            raise RestoreAbandoned(f"shard {partition} is not restored here: another worker has it")

    def attempt(shelf: Shelf | None) -> Shard:
        wipe_unfilled(store)
        with ExitStack() as stack:
            graphs = {} if shelf is None else begin_from(shelf, cluster, partition, store, now_ms(), stack, look)
            replay_changelog(cluster, partition, store, now_ms, stop)
            look()
            shards = cluster.partitions("journal")
            check_incarnation(store, partition, shards, incarnation)
            return load_shard(partition, shards, incarnation, store, threads, graphs=graphs, between=look)

    was_empty = False
    try:
        why = stale_reason(cluster, partition, store, now_ms())
        was_empty = store.checkpoint().next_offset == 0
        if why is None:
            return attempt(shelf)
    except StoreDamaged as damage:
        why = str(damage)
    logger.warning("shard %d: local store is deleted and restored: %s", partition, why)
    store.wipe()
    try:
        # What a snapshot was filled into, and then could not be read, is not filled from it again.
        return attempt(None if was_empty else shelf)
    except RowDamaged as damage:
        raise ChangelogDamaged(str(damage), _offset_of(cluster, partition, damage.key)) from None


def begin_from(
    shelf: Shelf,
    cluster: Cluster,
    partition: int,
    store: Store,
    now_ms: int,
    stack: ExitStack,
    between: Callable[[], object] = lambda: None,
) -> dict[bytes, SavedGraph]:
    """Fill a store that is empty from the newest snapshot that suits. Returns graphs for the index, until `stack` ends.

    A store that is not empty is newer than any snapshot, and takes the graphs alone.
    """
    place = place_of(cluster, partition, now_ms)
    if store.checkpoint().next_offset > 0:
        return stack.enter_context(newest_graphs(shelf, partition, place, store.folder))
    snapshot = fill_newest(shelf, partition, store, usable(place), between)
    return {} if snapshot is None else stack.enter_context(snapshot.graphs(store.folder))


def empty_shard(
    cluster: Cluster, partition: int, incarnation: str, store: Store, decided_to: int, stop: Callable[[], bool]
) -> Shard:
    """A shard without state at the journal's first record; its next commit deletes what `documents` has of it.

    Its skips are kept, and what was asked before the journal offset `decided_to` is not answered again.
    """
    shard = Shard(partition, cluster.partitions("journal"), incarnation, store)
    first, _ = cluster.ends("journal")[partition]
    keys = {each.key for each in cluster.scan("documents", partition, stop=stop) if each.key is not None}
    shard.uncommitted = dict.fromkeys(keys - {META_KEY}, None)
    shard.next_offset = first
    skips = read_skips(cluster, partition, stop)
    # It also says that what stands before its row in `documents` is void, so it is there where it skips nothing.
    skips.put(first, Skip(to_offset=max(first, decided_to), what="questions", why=BEGAN_EMPTY))
    shard.apply([SKIPS.put(skip_id(at, skip.what), skip) for at, skip in skips.rows()])
    return shard


def read_skips(cluster: Cluster, partition: int, stop: Callable[[], bool] = lambda: False) -> Skips:
    """The skips of a shard as they stand in `documents`: what a fold of its journal has to know before it begins."""
    skips = Skips()
    for row in skips_written(cluster, partition, stop):
        skips.put(row.first, row.skip)
    return skips


def _offset_of(cluster: Cluster, partition: int, key: bytes) -> int:
    """Where in `documents` the last record of that key stands; -1 when it is not there."""
    return max((each.offset for each in cluster.scan("documents", partition) if each.key == key), default=-1)


def stale_reason(cluster: Cluster, partition: int, store: Store, now_ms: int) -> str | None:
    """Why the store is too stale to replay the changelog from its checkpoint; None when it is not."""
    checkpoint = store.checkpoint()
    if checkpoint.next_offset == 0:
        return None
    _, end = cluster.ends("documents")[partition]
    if checkpoint.next_offset > end:
        return f"it reaches {checkpoint.next_offset}, the topic ends at {end}"
    age_ms = now_ms - checkpoint.written_at_ms
    if age_ms > TOMBSTONE_SHARE * cluster.tombstones_ms("documents"):
        return f"it was written {age_ms} ms ago, and deletions since may be gone from the topic"
    return None


ShardFailure = StoreDamaged | StoreUnusable | ChangelogDamaged
"""What keeps one shard from being restored, and no other."""


class Restored(NamedTuple):
    """The result of a restore: the shard; or why it failed, and the skips that are known; or neither: abandoned."""

    partition: int
    shard: Shard | None
    failure: ShardFailure | None
    skips: Skips


class Beginning(NamedTuple):
    """What a restore begins with."""

    is_fresh: bool = False
    """Whether the local store is deleted first."""
    may_use_snapshots: bool = True
    """Whether an empty store may begin from one; else all is read from `documents`."""
    empty_at: int | None = None
    """The shard is empty, and what was asked before this journal offset is decided; None: it is what was committed."""


AS_IT_IS = Beginning()


class PendingRestore:
    """The restore of one partition, under way on another thread.

    When it is abandoned, whoever comes last closes the store, before the future is done: the next restore of the
    partition may wait for it and open the store again.
    """

    def __init__(self) -> None:
        self.cancelled = Event()
        self.future: Future[Restored] | None = None
        self._lock = Lock()
        self._store: Store | None = None

    def finish(self, store: Store) -> None:
        """Hand the restored shard's store to the worker; close it when the restore was abandoned."""
        with self._lock:
            if self.cancelled.is_set():
                store.close()
            else:
                self._store = store

    def abandon(self) -> None:
        """Abandon the restore: the partition belongs to another worker."""
        with self._lock:
            self.cancelled.set()
            if self._store is not None:
                self._store.close()


class Restorer:
    """Restores the shards of a worker's partitions, several at once. Call it on the thread that polls."""

    def __init__(
        self,
        cluster: Cluster,
        incarnation: str,
        open_store: OpenStore,
        metrics: LookupMetrics,
        now_ms: Callable[[], int],
        documents: Documents,
        shelf: Shelf | None = None,
    ) -> None:
        """`incarnation` is the journal's; `open_store` gives the local store of a partition.

        `shelf` has the snapshots that an empty store begins from.
        """
        self._cluster = cluster
        self._incarnation = incarnation
        self._open_store = open_store
        self._metrics = metrics
        self._now_ms = now_ms
        self._documents = documents
        self._shelf = shelf
        self._restoring: dict[int, PendingRestore] = {}
        self._abandoned: dict[int, Future[Restored]] = {}
        self._pool = ThreadPoolExecutor(RESTORES_AT_ONCE, thread_name_prefix="restore")

    @property
    def busy(self) -> bool:
        """Whether a restore is under way."""
        return bool(self._restoring)

    def __contains__(self, partition: int) -> bool:
        return partition in self._restoring

    def begin(self, partition: int, how: Beginning = AS_IT_IS) -> None:
        """Begin to restore a partition, once an abandoned restore of it has closed the store."""
        restoring = self._restoring[partition] = PendingRestore()
        before = self._abandoned.get(partition)
        restoring.future = self._pool.submit(self._restore, partition, restoring, before, how)

    def abandon(self, partition: int) -> None:
        """Abandon the restore of a partition that another worker owns."""
        restoring = self._restoring.pop(partition, None)
        if restoring is None or restoring.future is None:
            return
        restoring.abandon()
        self._abandoned[partition] = restoring.future

    def restored(self) -> list[Restored]:
        """What came of the restores that ended since the last call; the worker owns the shards.

        Raises what a restore raised that is not of its shard alone.
        """
        done = {p: one.future for p, one in self._restoring.items() if one.future is not None and one.future.done()}
        for partition in done:
            del self._restoring[partition]
        return [future.result() for future in done.values()]

    def close(self) -> None:
        """Abandon every restore and wait for their stores to be closed."""
        for partition in list(self._restoring):
            self.abandon(partition)
        wait(list(self._abandoned.values()), timeout=CLOSE_WAIT_S)
        self._pool.shutdown()

    def _restore(
        self,
        partition: int,
        restoring: PendingRestore,
        before: Future[Restored] | None,
        how: Beginning,
    ) -> Restored:
        if before is not None:
            wait([before])
        started = time.perf_counter()
        stop = restoring.cancelled.is_set
        if stop():
            return Restored(partition, None, None, Skips())
        try:
            shard = self._restored(partition, stop, how)
        except RestoreAbandoned:
            # Not kept: what it passed through holds the lock of the store's folder, which the next restore takes.
            return Restored(partition, None, None, Skips())
        except (StoreDamaged, StoreUnusable, ChangelogDamaged) as failure:
            # What it passed through may hold rows of the store, and with them the lock of its folder.
            failure.__context__ = failure.__cause__ = None
            told = failure.with_traceback(None)
            return Restored(partition, None, told, read_skips(self._cluster, partition, stop))
        restoring.finish(shard.store)
        self._metrics.restore.observe(time.perf_counter() - started)
        return Restored(partition, shard, None, shard.skips)

    def _restored(self, partition: int, stop: Callable[[], bool], how: Beginning) -> Shard:
        self._documents.check(partition, empty=how.empty_at is not None)
        store = self._open_store(partition)
        try:
            if how.is_fresh or how.empty_at is not None:
                store.wipe()
            if how.empty_at is not None:
                return empty_shard(self._cluster, partition, self._incarnation, store, how.empty_at, stop)
            shelf = self._shelf if how.may_use_snapshots else None
            return restore(self._cluster, partition, self._incarnation, store, self._now_ms, stop, shelf=shelf)
        except BaseException:
            store.close()
            raise
