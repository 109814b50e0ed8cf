"""Restores a shard: from the local store, or a snapshot, then the rest of `documents`, then builds the indexes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack

from refrain.schemas.documents import Skip
from refrain.streams.errors import ChangelogDamaged, RestoreAbandoned, RowDamaged, StoreDamaged
from refrain.streams.kafka.interface import Cluster
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
    shard.overlay.delete_all(keys - {META_KEY})
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
