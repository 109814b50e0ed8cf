"""Loads a shard from its store: rebuilds the indexes in memory from the columns on disk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np

from refrain.schemas.base import Message
from refrain.schemas.documents import Meta
from refrain.streams.errors import RowDamaged, StoreDamaged
from refrain.streams.shard import columns
from refrain.streams.shard.columns import Column
from refrain.streams.shard.index.entries import namespace_of_key
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Store
from refrain.streams.vectors import Ints, decode

M = TypeVar("M", bound=Message)
BUILD_BATCH = 512
"""Vectors added to an HNSW at a time: what is made of a batch on the way is memory that the process keeps."""


def load_shard(partition: int, shards: int, incarnation: str, store: Store, threads: int = 1) -> Shard:
    """Load a shard from its store: entries in the order of their ids, then all that refers to them.

    Raises StoreDamaged when the store cannot be read, and RowDamaged for a row that is no record of its column.
    """
    shard = Shard(partition, shards, incarnation, store)
    _restore_meta(shard)
    try:
        _restore_entries(shard, threads)
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


def _rows(store: Store, column: Column[M]) -> Iterable[tuple[str, M]]:
    prefix = column.key("")
    for key, value in store.scan(prefix):
        yield _id_of(key, key[len(prefix) :]), _read(column.message, key, value)


def _restore(shard: Shard, column: Column[M]) -> None:
    records, order = _rows(shard.store, column), column.restored_by
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


def _restore_entries(shard: Shard, threads: int) -> None:
    stats = dict(_rows(shard.store, columns.STATS))
    _restore(shard, columns.TABLES)
    large: dict[bytes, tuple[list[int], list[Ints]]] = {}
    for id_, entry in _rows(shard.store, columns.ENTRIES):
        space = namespace_of_key(entry)
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
