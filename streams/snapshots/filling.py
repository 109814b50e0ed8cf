"""Fills a store from the newest snapshot that suits and verifies, and finds graphs for one that is filled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from refrain.streams.errors import SnapshotUnusable
from refrain.streams.shard.index.hnsw import SavedGraph
from refrain.streams.snapshots.shelf import Shelf, refuse
from refrain.streams.snapshots.snapshot import Place, Snapshot
from refrain.streams.store.interface import Store

logger = logging.getLogger(__name__)


def fill_newest(
    shelf: Shelf,
    partition: int,
    store: Store,
    why_not: Callable[[Snapshot], str | None],
    between: Callable[[], object] = lambda: None,
) -> Snapshot | None:
    """Fill an empty store from the newest snapshot that suits and verifies; None, and an empty store, when none does.

    Each that is not used is told, with its file and the reason, and what is done instead. What `between` raises, which
    is called before each block of rows, ends it.
    """
    wipe_unfilled(store)
    for snapshot in shelf.suited(partition, why_not):
        try:
            snapshot.fill(store, between)
        except SnapshotUnusable as damage:
            refuse(partition, snapshot.name, str(damage))
            store.wipe()
            continue
        logger.info("shard %d: begins from snapshot %s", partition, snapshot.name)
        return snapshot
    if _has_any(shelf, partition):
        logger.warning("shard %d: no snapshot is used: documents is read from its start", partition)
    return None


def wipe_unfilled(store: Store) -> None:
    """Wipe a store that was being filled from a snapshot when its process died: its checkpoint is 0."""
    if store.checkpoint().next_offset == 0 and next(store.scan(), None) is not None:
        store.wipe()


@contextmanager
def newest_graphs(shelf: Shelf, partition: int, place: Place, folder: Path | None) -> Iterator[dict[bytes, SavedGraph]]:
    """The graphs of the newest snapshot of the shard's logs that has any, by namespace; none where there is none.

    They are of entries, whatever the version of the fold, and whatever else has happened to the state.
    """
    for snapshot in shelf.suited(partition, lambda each: each.why_foreign(place)):
        if snapshot.manifest.graphs:
            with snapshot.graphs(folder) as found:
                yield found
            return
    yield {}


def _has_any(shelf: Shelf, partition: int) -> bool:
    try:
        return bool(shelf.names(partition))
    except SnapshotUnusable:
        return False
