"""One snapshot: its rows into a store, its graphs for an index, and whether its files are those of its manifest."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refrain.streams.errors import SnapshotUnusable
from refrain.streams.kafka.interface import Cluster
from refrain.streams.shard.behaviour import BEHAVIOUR
from refrain.streams.shard.index.hnsw import SavedGraph, graph_format
from refrain.streams.snapshots.changelog import TOMBSTONE_SHARE
from refrain.streams.snapshots.location import CHUNK_BYTES, Location
from refrain.streams.snapshots.manifest import MANIFEST, File, Graph, Manifest
from refrain.streams.snapshots.rows import Row, read_blocks, rows_of
from refrain.streams.store.interface import Checkpoint, Store

logger = logging.getLogger(__name__)

ID = np.dtype("<i8")
"""An entry's id in the file of a graph's ids."""


class Place(NamedTuple):
    """Where a snapshot is to fit in: the logs of one shard as they are."""

    partition: int
    shards: int
    journal: str
    """The topic id."""
    documents: str
    journal_span: tuple[int, int]
    """First and end offset."""
    documents_span: tuple[int, int]
    tombstones_ms: int
    now_ms: int


def place_of(cluster: Cluster, partition: int, now_ms: int) -> Place:
    """Look at the logs of a shard."""
    return Place(
        partition,
        cluster.partitions("journal"),
        cluster.topic_id("journal"),
        cluster.topic_id("documents"),
        cluster.ends("journal")[partition],
        cluster.ends("documents")[partition],
        cluster.tombstones_ms("documents"),
        now_ms,
    )


class Snapshot:
    """A snapshot with a manifest that was read; its other files are checked as they are read."""

    def __init__(self, location: Location, folder: tuple[str, ...], manifest: Manifest) -> None:
        """`folder` is where it lies in the location."""
        self._location = location
        self._folder = folder
        self.manifest = manifest

    @property
    def name(self) -> str:
        """Its name in messages."""
        return "/".join(self._folder)

    # -- whether it fits in -----------------------------------------------------------------------------

    def why_unsuited(self, place: Place) -> str | None:
        """Why nothing can begin from it there, None when it can: a restore, or an audit from its journal offset on."""
        manifest = self.manifest
        why = self.why_foreign(place)
        if why is not None:
            return why
        if manifest.behaviour != BEHAVIOUR:
            return f"{MANIFEST}: its state is of {manifest.behaviour}, and this is {BEHAVIOUR}"
        for topic, reach, end in (
            ("documents", manifest.documents_offset, place.documents_span[1]),
            ("journal", manifest.journal_offset, place.journal_span[1]),
        ):
            if reach > end:
                return f"{MANIFEST}: it is ahead of the log: it reaches {reach}, and {topic} ends at {end}"
        if manifest.documents_offset < place.documents_span[0]:
            return (
                f"{MANIFEST}: documents begins at {place.documents_span[0]}, and it reaches"
                f" {manifest.documents_offset}: what came between is gone"
            )
        return None

    def why_stale(self, place: Place) -> str | None:
        """Why `documents` cannot be read on from it, None when it can."""
        age_ms = place.now_ms - self.manifest.made_ms
        if age_ms > TOMBSTONE_SHARE * place.tombstones_ms:
            return f"{MANIFEST}: it was made {age_ms} ms ago, and deletions since may be gone from documents"
        return None

    def why_foreign(self, place: Place) -> str | None:
        """Why it is of other logs than those of the shard, None when it is of them."""
        manifest = self.manifest
        if (manifest.partition, manifest.shards) != (place.partition, place.shards):
            return (
                f"{MANIFEST}: it is of shard {manifest.partition} of {manifest.shards}, not of"
                f" {place.partition} of {place.shards}"
            )
        for topic, was, now in (
            ("journal", manifest.topics.journal, place.journal),
            ("documents", manifest.topics.documents, place.documents),
        ):
            if was != now:
                return f"{MANIFEST}: it is of another cluster, or {topic} was made again: its id was {was}, it is {now}"
        return None

    # -- reading ------------------------------------------------------------------------------------------

    def rows(self, take_block: Callable[[bytes], object] = lambda block: None) -> Iterator[Row]:
        """The rows in the order of their keys, each key once; `take_block` gets the bytes of each block before them.

        Raises SnapshotUnusable where they are not, and at the end for a digest that does not fit.
        """
        file = self.manifest.rows
        with self._location.reading(*self._folder, file.name) as reading:
            try:
                last = b""
                for block in read_blocks(reading.read):
                    take_block(block)
                    for row in rows_of(block):
                        if row[0] <= last:
                            raise SnapshotUnusable("its rows are out of order")
                        last = row[0]
                        yield row
            except SnapshotUnusable as damage:
                raise SnapshotUnusable(f"{file.name}: {damage}") from damage
            _check(file, reading.size, reading.sha256)

    def fill(self, store: Store, between: Callable[[], object] = lambda: None) -> None:
        """Fill an empty store. Raises SnapshotUnusable: then part of it may be there, and its checkpoint is 0.

        So it is where `between` raises, which is called before each block of rows.
        """
        store.fill(self.rows(lambda _: between()), Checkpoint(self.manifest.documents_offset, self.manifest.made_ms))

    @contextmanager
    def graphs(self, folder: Path | None) -> Iterator[dict[bytes, SavedGraph]]:
        """The graphs by namespace, as files of this machine; what must be copied goes into `folder` for a while.

        One that is damaged, or that cannot be read here, is left out, and told.
        """
        found: dict[bytes, SavedGraph] = {}
        wanted: tuple[Graph, ...] = self.manifest.graphs
        if wanted and self.manifest.graph_format != graph_format():
            logger.warning(
                "snapshot %s: its graphs are of %s, and this is %s: they are built anew",
                self.name,
                self.manifest.graph_format,
                graph_format(),
            )
            wanted = ()
        with ExitStack() as stack:
            if folder is None and wanted and not self._location.is_local:
                wanted = ()
            for graph in wanted:
                try:
                    found[bytes.fromhex(graph.namespace)] = self._graph(graph, folder or Path(), stack)
                except SnapshotUnusable as damage:
                    logger.warning("snapshot %s: %s: this graph is built anew", self.name, damage)
            yield found

    def verify(self) -> None:
        """Read all files. Raises SnapshotUnusable, with the file's name, for the first that is not the manifest's, or
        of which no store can be filled."""
        state = hashlib.blake2b(digest_size=16)
        count = sum(1 for _ in self.rows(state.update))
        if (state.hexdigest(), count) != (self.manifest.state, self.manifest.row_count):
            raise SnapshotUnusable(f"{self.manifest.rows.name}: its rows are not the state that the manifest tells")
        for file in self.manifest.files[1:]:
            with self._location.reading(*self._folder, file.name) as reading:
                while reading.read(CHUNK_BYTES):
                    continue
                _check(file, reading.size, reading.sha256)

    def _graph(self, graph: Graph, folder: Path, stack: ExitStack) -> SavedGraph:
        data = self._location.read(*self._folder, graph.ids.name, bytes_max=graph.ids.bytes)
        _check(graph.ids, len(data), hashlib.sha256(data).hexdigest())
        copy = self._location.local_copy(folder, *self._folder, graph.graph.name)
        path, read = stack.enter_context(copy)
        _check(graph.graph, read.size, read.sha256)
        return SavedGraph(path, graph.dim, np.frombuffer(data, dtype=ID).astype(np.int64))


def _check(file: File, size: int, sha256: str) -> None:
    """Raises SnapshotUnusable for a file that is not the manifest's."""
    if size != file.bytes:
        raise SnapshotUnusable(f"{file.name} has {size} bytes, and had {file.bytes}: it is cut off, or another file")
    if sha256 != file.sha256:
        raise SnapshotUnusable(f"{file.name} is damaged: its digest is not that of the manifest")
