"""Restores the shards of a worker's partitions beside its folding, several at once, on threads of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event, Lock
from typing import NamedTuple

from refrain.streams.errors import ChangelogDamaged, RestoreAbandoned, StoreDamaged, StoreUnusable
from refrain.streams.kafka.interface import Cluster
from refrain.streams.lookup.documents import Documents
from refrain.streams.lookup.metrics import LookupMetrics
from refrain.streams.lookup.restore import OpenStore, empty_shard, read_skips, restore
from refrain.streams.shard.skips import Skips
from refrain.streams.shard.state import Shard
from refrain.streams.snapshots.shelf import Shelf
from refrain.streams.store.interface import Store

RESTORES_AT_ONCE = 4
CLOSE_WAIT_S = 10.0

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
