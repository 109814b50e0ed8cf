"""Makes a snapshot of a shard from `documents` alone: the one before it, and what was committed since.

No worker is asked and no store of one is touched: a snapshot is made beside the service, by whoever may read
`documents`, and costs the worker that answers nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from refrain.schemas.documents import Meta
from refrain.streams.errors import SnapshotUnusable, StoreUnusable
from refrain.streams.kafka.interface import Cluster
from refrain.streams.shard.index.hnsw import graph_format
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.state import Shard
from refrain.streams.snapshots.changelog import check_incarnation, last_commit, replay_changelog
from refrain.streams.snapshots.filling import fill_newest, newest_graphs
from refrain.streams.snapshots.location import CHUNK_BYTES, Location
from refrain.streams.snapshots.manifest import File, Graph, Manifest, Topics
from refrain.streams.snapshots.rows import RowsWritten
from refrain.streams.snapshots.shelf import Shelf, usable
from refrain.streams.snapshots.snapshot import ID, Place, Snapshot, place_of
from refrain.streams.store.interface import Store
from refrain.streams.store.rocksdb import RocksStore

ROWS = "rows.zst"
SETTLED = 10_000
"""So few records may be written while the last ones are read."""
PASSES_MAX = 20
FRESH_SHARE = 0.3
"""A snapshot of the same state is not made again before so much of the time that deletions are kept has passed."""


class Outcome(NamedTuple):
    """What came of making a snapshot of a shard."""

    partition: int
    snapshot: Snapshot | None
    """The newest that verifies; None of a shard that has committed nothing."""
    is_new: bool
    gone: list[str]
    """What was deleted for it."""

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        known = None if self.snapshot is None else self.snapshot.manifest
        return {
            "partition": self.partition,
            "name": None if self.snapshot is None else self.snapshot.name,
            "made": self.is_new,
            "entries": 0 if known is None else known.entries,
            "journal_offset": None if known is None else known.journal_offset,
            "documents_offset": None if known is None else known.documents_offset,
            "state": None if known is None else known.state,
            "bytes": 0 if known is None else known.total_bytes,
            "deleted": self.gone,
        }

    @property
    def text(self) -> str:
        """It in words."""
        if self.snapshot is None:
            return f"shard {self.partition}: nothing is committed, so there is nothing to keep"
        known = self.snapshot.manifest
        held = "entry" if known.entries == 1 else "entries"
        at = f"{known.entries} {held} at journal offset {known.journal_offset}"
        if not self.is_new:
            return f"shard {self.partition}: snapshot {self.snapshot.name} has all of it ({at})"
        gone = f"; {len(self.gone)} older deleted" if self.gone else ""
        return f"shard {self.partition}: snapshot {self.snapshot.name} is made: {at}, {known.total_bytes} bytes{gone}"


def make_snapshot(
    cluster: Cluster,
    shelf: Shelf,
    partition: int,
    now_ms: Callable[[], int],
    *,
    keep: int,
    keep_ms: int,
    work: Path | None = None,
) -> Outcome:
    """Make, verify and keep a snapshot of a shard, then delete what is not to be kept any longer.

    Nothing is made of a shard that has committed nothing, nor again of a state that has a fresh one. `work` is the
    folder for a store while it lasts; None: where temporary files go. Raises SnapshotUnusable when the location does
    not take it, StoreUnusable where `work` does not, StoreDamaged for rows in `documents` that do not make a shard, and
    WrongSetup when `documents` is of another journal.
    """
    place = place_of(cluster, partition, now_ms())
    with _folder_in(work) as folder, _store_in(folder) as store:
        base = fill_newest(shelf, partition, store, usable(place))
        reached_ms = follow(cluster, partition, store, now_ms)
        meta = check_incarnation(store, partition, place.shards, place.journal)
        if meta is None:
            return Outcome(partition, None, False, [])
        if base is not None and _is_fresh(base, store, place):
            return Outcome(partition, base, False, [])
        shard = _load(shelf, place, folder, store, base)
        snapshot = write_snapshot(shelf, place, shard, meta, reached_ms, folder)
    return Outcome(partition, snapshot, True, shelf.retire(snapshot, keep, keep_ms, now_ms()))


def follow(cluster: Cluster, partition: int, store: Store, now_ms: Callable[[], int]) -> int:
    """Read `documents` into a store up to the end of a commit. Returns when (ms) the last records were looked for.

    In several passes: compaction may take a record away before it is read, but not its later one, which stands before
    the end of the next pass. What the last pass reads is so new that no compaction touches it.
    """
    for _ in range(PASSES_MAX):
        reached_ms = now_ms()
        last = last_commit(cluster, partition)
        reach = 0 if last is None else last.end
        read = replay_changelog(cluster, partition, store, now_ms, lambda: False, reach)
        if read <= SETTLED:
            break
    return reached_ms


def _is_fresh(base: Snapshot, store: Store, place: Place) -> bool:
    same = store.checkpoint().next_offset == base.manifest.documents_offset
    return same and place.now_ms - base.manifest.made_ms < FRESH_SHARE * place.tombstones_ms


@contextmanager
def _folder_in(work: Path | None) -> Iterator[Path]:
    """A folder that goes again with all in it."""
    try:
        made = tempfile.TemporaryDirectory(prefix="refrain-snapshot-", dir=work, ignore_cleanup_errors=True)
    except OSError as error:
        raise StoreUnusable(f"no folder for a store can be made in {error.filename}: {error.strerror}") from error
    with made as name:
        yield Path(name)


@contextmanager
def _store_in(folder: Path) -> Iterator[RocksStore]:
    store = RocksStore(folder / "store")
    try:
        yield store
    finally:
        store.close()


def write_snapshot(shelf: Shelf, place: Place, shard: Shard, meta: Meta, reached_ms: int, folder: Path) -> Snapshot:
    """Write what the store of a loaded shard holds, with its graphs, and verify it; or leave nothing of it.

    `reached_ms` is when the store's place in `documents` was reached; `folder` is for a file at a time. Raises
    SnapshotUnusable.
    """
    target = shelf.begin(place.partition, reached_ms, meta.next_offset)
    try:
        snapshot = shelf.finish(target, _written(shelf.location, target, place, shard, meta, reached_ms, folder))
        snapshot.verify()
    except BaseException:
        with suppress(SnapshotUnusable):
            shelf.location.remove(*target)
        raise
    return snapshot


def _written(
    location: Location,
    target: tuple[str, ...],
    place: Place,
    shard: Shard,
    meta: Meta,
    reached_ms: int,
    folder: Path,
) -> Manifest:
    """Write all but the manifest, and return that."""
    spaces = sorted(shard.entries.namespaces.graphs())
    graphs = [_graph(location, target, shard, number, space, folder) for number, space in enumerate(spaces)]
    rows = RowsWritten()
    with location.writing(*target, ROWS) as file:
        for block in rows.blocks(shard.store.scan()):
            file.write(block)
    return Manifest(
        made_ms=reached_ms,
        partition=place.partition,
        shards=place.shards,
        topics=Topics(journal=place.journal, documents=place.documents),
        behaviour=meta.behaviour,
        journal_offset=meta.next_offset,
        documents_offset=shard.store.checkpoint().next_offset,
        entries=len(shard.entries),
        row_count=rows.count,
        state=rows.state,
        rows=File(name=ROWS, bytes=file.size, sha256=file.sha256),
        graph_format=graph_format(),
        graphs=tuple(graphs),
    )


def _graph(location: Location, target: tuple[str, ...], shard: Shard, number: int, space: bytes, folder: Path) -> Graph:
    """Write the graph of a namespace."""
    path = folder / f"graph-{number}.hnsw"
    try:
        saved = shard.entries.save_graph(space, path)
        with path.open("rb") as local, location.writing(*target, path.name) as graph:
            while chunk := local.read(CHUNK_BYTES):
                graph.write(chunk)
        path.unlink()
    except OSError as error:
        raise SnapshotUnusable(f"{path} cannot be written: {error.strerror}") from error
    with location.writing(*target, f"graph-{number}.ids") as ids:
        ids.write(saved.ids.astype(ID).tobytes())
    return Graph(
        namespace=space.hex(),
        dim=saved.dim,
        graph=File(name=path.name, bytes=graph.size, sha256=graph.sha256),
        ids=File(name=f"graph-{number}.ids", bytes=ids.size, sha256=ids.sha256),
    )


def _load(shelf: Shelf, place: Place, folder: Path, store: Store, base: Snapshot | None) -> Shard:
    """Load the shard, with the graphs of the snapshot before it."""
    saved = newest_graphs(shelf, place.partition, place, folder) if base is None else base.graphs(folder)
    with saved as graphs:
        return load_shard(place.partition, place.shards, place.journal, store, graphs=graphs)
