"""Loads a shard from its store: rebuilds the indexes in memory from the columns on disk."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from refrain.schemas.base import Message
from refrain.schemas.documents import Meta
from refrain.streams.errors import RowDamaged, StoreDamaged
from refrain.streams.shard import columns
from refrain.streams.shard.columns import Column
from refrain.streams.shard.index.entries import EntryIndex, namespace_of_key
from refrain.streams.shard.index.hnsw import GONE, SavedGraph
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Store
from refrain.streams.vectors import Ints, decode

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)
LOAD_BATCH = 128
"""Entries entered at a time: their columns are filled at once, and they lie in memory so long."""
BUILD_BATCH = 512
"""Vectors added to an HNSW at a time: what is made of a batch on the way is memory that the process keeps."""


def load_shard(
    partition: int,
    shards: int,
    incarnation: str,
    store: Store,
    threads: int = 1,
    *,
    graphs: Mapping[bytes, SavedGraph] | None = None,
    entries: EntryIndex | None = None,
    between: Callable[[], object] = lambda: None,
) -> Shard:
    """Load a shard from its store: entries in the order of their ids, then all that refers to them.

    `graphs` are saved ones by namespace: what they hold of its entries need not be built. `entries` is an empty index,
    where it is to be another than the usual. `between` is called every 128 entries: what it raises ends it. Raises
    StoreDamaged when the store cannot be read, and RowDamaged for a row that is no record of its column.
    """
    shard = Shard(partition, shards, incarnation, store, entries)
    _restore_meta(shard)
    try:
        _restore_entries(shard, threads, graphs or {}, between)
        for column in columns.COLUMNS:
            if not column.with_entries:
                _restore(shard, column)
    except StoreDamaged:
        raise
    except (ValueError, LookupError, TypeError, ArithmeticError) as error:
        # Rows that are records each, and do not fit together. Not what the error says: it may quote them.
        raise RowDamaged(f"the rows of shard {partition} do not fit together: {type(error).__name__}", b"") from None
    return shard


def read_meta(found: bytes) -> Meta:
    """The shard's progress from its row. Raises RowDamaged."""
    return _read(Meta, columns.META_KEY, found)


def _read(message: type[M], key: bytes, value: bytes) -> M:
    try:
        return message.decode(value)
    except ValueError:
        # Not what the error says: it quotes the row.
        raise _damaged(key) from None


def _id_of(key: bytes, id_: bytes) -> str:
    try:
        return id_.decode()
    except UnicodeDecodeError:
        raise _damaged(key) from None


def _damaged(key: bytes) -> RowDamaged:
    return RowDamaged(f"a row of {_column_of(key)} cannot be read", key)


def _column_of(key: bytes) -> str:
    name = key.partition(b"/")[0]
    known = [each.name for each in columns.COLUMNS if each.name.encode() == name]
    return known[0] if known else "meta"


def _rows(store: Store, column: Column[M]) -> Iterator[tuple[str, M]]:
    prefix = column.key("")
    for key, value in store.scan(prefix):
        yield _id_of(key, key[len(prefix) :]), _read(column.message, key, value)


def _restore(shard: Shard, column: Column[M]) -> None:
    records: Iterable[tuple[str, M]] = _rows(shard.store, column)
    order = column.restored_by
    for id_, message in records if order is None else sorted(records, key=lambda record: order(record[1])):
        try:
            column.index(shard, id_, message)
        except (ValueError, LookupError, TypeError):
            # Not what the error says: it may quote the row.
            raise _damaged(column.key(id_)) from None


def _restore_meta(shard: Shard) -> None:
    found = shard.store.get(columns.META_KEY)
    if found is None:
        return
    meta = read_meta(found)
    shard.next_offset = meta.next_offset
    shard.time_ms = meta.time_ms
    shard.highwater = dict(meta.highwater)


def _restore_entries(
    shard: Shard, threads: int, graphs: Mapping[bytes, SavedGraph], between: Callable[[], object]
) -> None:
    stats = dict(_rows(shard.store, columns.STATS))
    _restore(shard, columns.TABLES)
    large: dict[bytes, _LargeTable] = {}
    rows = _rows(shard.store, columns.ENTRIES)
    while batch := list(islice(rows, LOAD_BATCH)):
        between()
        entries = [entry for _, entry in batch]
        first = shard.entries.add_many(entries, [stats.get(id_) for id_, _ in batch])
        small: dict[int, list[tuple[int, Ints]]] = defaultdict(list)
        for row, entry in enumerate(entries, first):
            space = namespace_of_key(entry)
            shard.tenants.enter(entry.tenant, space)
            if entry.vector is None:
                continue
            vector = decode(entry.vector)
            if shard.entries.namespaces.mode(space) == "ann":
                if space not in large:
                    large[space] = _LargeTable(shard, space, graphs.get(space), threads)
                large[space].add(entry.id, row, vector)
            else:
                small[len(vector)].append((row, vector))
        for found in small.values():
            shard.entries.append_vectors(
                np.array([row for row, _ in found], dtype=np.int32), np.stack([vector for _, vector in found])
            )
    for table in large.values():
        table.finish()


class _LargeTable:
    """An HNSW that is filled in batches: what a saved graph has of its entries is taken from there, the rest built."""

    def __init__(self, shard: Shard, space: bytes, graph: SavedGraph | None, threads: int) -> None:
        self._entries, self._space, self._threads = shard.entries, space, threads
        self._rows: list[int] = []
        self._ids: list[int] = []
        self._vectors: list[Ints] = []
        self._graph = None if graph is None else _GraphInUse(graph)
        if graph is not None:
            try:
                shard.entries.namespaces.load_graph(space, graph)
            except ValueError as error:
                logger.warning("shard %d: %s: it is built anew", shard.partition, error)
                self._graph = None

    def add(self, id_: int, row: int, vector: Ints) -> None:
        self._rows.append(row)
        self._ids.append(id_)
        self._vectors.append(vector)
        if len(self._rows) == BUILD_BATCH:
            self._flush()

    def finish(self) -> None:
        """Take in what waits, and leave out of the graph what is not an entry."""
        self._flush()
        if self._graph is not None:
            self._entries.drop_orphans(self._space, self._graph.orphans(), BUILD_BATCH, self._threads)

    def _flush(self) -> None:
        if not self._rows:
            return
        rows, vectors = np.array(self._rows, dtype=np.int32), np.stack(self._vectors)
        ids = np.array(self._ids, dtype=np.int64)
        self._rows, self._ids, self._vectors = [], [], []
        if self._graph is None:
            self._entries.namespaces.build(self._space, rows, vectors, self._threads)
            return
        labels = self._graph.take(ids)
        there = labels != GONE
        self._entries.namespaces.adopt(self._space, rows[there], vectors[there], labels[there])
        self._entries.namespaces.build(self._space, rows[~there], vectors[~there], self._threads)


class _GraphInUse:
    """Which labels of a saved graph have found their entry."""

    def __init__(self, graph: SavedGraph) -> None:
        alive = np.flatnonzero(graph.ids != GONE)
        self._labels = alive[np.argsort(graph.ids[alive], kind="stable")]
        self._ids = graph.ids[self._labels]
        self._taken = np.zeros(len(self._ids), dtype=np.bool_)

    def take(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The label of each entry (n); `GONE` for one that the graph does not have."""
        places = np.searchsorted(self._ids, ids)
        there = places < len(self._ids)
        there[there] = self._ids[places[there]] == ids[there]
        self._taken[places[there]] = True
        found = np.full(len(ids), GONE, dtype=np.int64)
        found[there] = self._labels[places[there]]
        return found

    def orphans(self) -> list[int]:
        """The labels of vectors that no entry has."""
        found: list[int] = self._labels[~self._taken].tolist()
        return found
