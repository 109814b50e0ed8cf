"""Loads a shard from its store: rebuilds the indexes in memory from the columns on disk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

from refrain.schemas.base import Message
from refrain.schemas.documents import Meta
from refrain.streams.errors import StoreDamaged
from refrain.streams.messaging.validation import without_quotes
from refrain.streams.shard import columns
from refrain.streams.shard.columns import Column
from refrain.streams.shard.index.entries import namespace_of
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Store
from refrain.streams.vectors import Ints, decode

M = TypeVar("M", bound=Message)
BUILD_BATCH = 512
"""Vectors added to an HNSW at a time: what is made of a batch on the way is memory that the process keeps."""


def load_shard(partition: int, shards: int, incarnation: str, store: Store, threads: int = 1) -> Shard:
    """Load a shard from its store: entries in the order of their ids, then all that refers to them.

    Raises StoreDamaged when a record cannot be read.
    """
    shard = Shard(partition, shards, incarnation, store)
    try:
        _restore_meta(shard)
        _restore_entries(shard, threads)
        for column in columns.COLUMNS:
            if not column.with_entries:
                _restore(shard, column)
    except (ValueError, KeyError) as error:
        raise StoreDamaged(f"the store of shard {partition} cannot be read: {without_quotes(error)}") from None
    return shard


def _rows(store: Store, column: Column[M]) -> Iterable[tuple[str, M]]:
    prefix = column.key("")
    for key, value in store.scan(prefix):
        yield key[len(prefix) :].decode(), column.message.decode(value)


def _restore(shard: Shard, column: Column[M]) -> None:
    records, order = _rows(shard.store, column), column.restored_by
    for id_, message in records if order is None else sorted(records, key=lambda record: order(record[1])):
        column.index(shard, id_, message)


def _restore_meta(shard: Shard) -> None:
    found = shard.store.get(columns.META_KEY)
    if found is None:
        return
    meta = Meta.decode(found)
    shard.next_offset = meta.next_offset
    shard.time_ms = meta.time_ms
    shard.highwater = dict(meta.highwater)


def _restore_entries(shard: Shard, threads: int) -> None:
    stats = dict(_rows(shard.store, columns.STATS))
    _restore(shard, columns.TABLES)
    large: dict[bytes, tuple[list[int], list[Ints]]] = {}
    for id_, entry in _rows(shard.store, columns.ENTRIES):
        space = namespace_of(entry.space, entry.category, entry.embedder, entry.context)
        shard.tenants.enter(entry.tenant, space)
        ann = entry.vector is not None and shard.entries.mode(space) == "ann"
        row = shard.entries.add(entry, stats.get(id_), into_table=not ann)
        if ann and entry.vector is not None:
            rows, vectors = large.setdefault(space, ([], []))
            rows.append(row)
            vectors.append(decode(entry.vector))
            if len(rows) == BUILD_BATCH:
                _build(shard, space, large.pop(space), threads)
    for space, batch in large.items():
        _build(shard, space, batch, threads)


def _build(shard: Shard, space: bytes, batch: tuple[list[int], list[Ints]], threads: int) -> None:
    rows, vectors = batch
    shard.entries.build(space, np.array(rows, dtype=np.int32), np.stack(vectors), threads)
