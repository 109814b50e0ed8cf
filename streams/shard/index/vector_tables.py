"""Vector tables: nearest-neighbour search, one table a namespace, so that no search crosses one.

A table scans its block of the slab while small. When it becomes `ann` its vectors move into an HNSW,
a few with each addition, so that no decision waits for a build; until then it goes on scanning.
Candidates are found in float32 and ranked by the integer similarity of the vectors of record, which for an HNSW
stand in a file.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.streams.shard.index.hnsw import HnswIndex, SavedGraph
from refrain.streams.shard.index.records import RecordFile
from refrain.streams.shard.index.slab import Block, Slab
from refrain.streams.vectors import Floats, Ints, cosine, decode

MOVED_PER_ADD = 16
"""Vectors that move into a growing HNSW with each addition: about 2 ms."""
MARGIN = 1e-4
"""How far float32 may be off; all within it of the last candidate are ranked by integers."""

VECTORS_REMEMBERED = 768
"""Vectors that are remembered as they were read: some 14 bytes a dimension each."""

Search = Literal["exact", "ann"]


class VectorMatch(NamedTuple):
    """Vector match: a row and its similarity, rounded to six places."""

    row: int
    similarity: float


class Table:
    """Vector table of one namespace."""

    __slots__ = ("block", "count", "hnsw", "moved", "search")

    def __init__(self) -> None:
        self.block: Block | None = None
        self.count = 0
        """Vectors in the block."""
        self.hnsw: HnswIndex | None = None
        self.moved = 0
        """Vectors at the beginning of the block that are in the HNSW too."""
        self.search: Search = "exact"

    def __len__(self) -> int:
        if self.block is None and self.hnsw is not None:
            return len(self.hnsw)
        return self.count


class QueryVector(NamedTuple):
    """Query vector in the forms that a search needs."""

    ints: Ints
    unit: Floats
    wide: npt.NDArray[np.float64]
    norm: int

    @classmethod
    def of(cls, ints: Ints) -> QueryVector:
        """Query of a vector of record. Raises ValueError for one without length."""
        wide = ints.astype(np.float64)
        norm = int(wide @ wide)
        if norm == 0:
            raise ValueError("a vector must not be zero")
        return cls(ints, (wide / math.sqrt(norm)).astype(np.float32), wide, norm)


@lru_cache(maxsize=VECTORS_REMEMBERED)
def query_of(vector: str) -> QueryVector:
    """Query vector of a vector on the wire; those of late are remembered. Raises ValueError for one that is none.

    One vector is looked for, lies in a flight and then in an entry: it is read once. Its arrays are nobody's to change.
    """
    return QueryVector.of(decode(vector))


class Tables:
    """Vector tables of one shard over one space of row numbers, which the caller gives out."""

    def __init__(self, dim: int, folder: Path | None = None) -> None:
        """`folder` is where the file of the vectors of record goes; None: where temporary files do."""
        self.dim = dim
        self._folder = folder
        self.slab = Slab(dim)
        self._norms = np.zeros(16, dtype=np.int64)
        self._places = np.zeros(16, dtype=np.int32)
        self._file: RecordFile | None = None
        """The vectors of record that an HNSW holds; None before the first."""

    @property
    def _records(self) -> RecordFile:
        if self._file is None:
            self._file = RecordFile(self.dim, self._folder)
        return self._file

    def add(self, table: Table, row: int, query: QueryVector) -> None:
        """Put a vector under a row number that is free."""
        self._reserve(row)
        self._norms[row] = query.norm
        if table.hnsw is not None and table.block is None:
            self._records.put(row, query.ints)
            table.hnsw.add(row, query.unit)
            return
        self._append(table, row, query.unit)
        if table.hnsw is not None:
            self._move(table, MOVED_PER_ADD)

    def units_of(self, rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16]) -> Floats:
        """The unit vectors (n, dim) of vectors of record (n, dim), whose norms are kept under their row numbers.

        Raises ValueError for one without length.
        """
        norms = self._keep_norms(rows, ints)
        if not norms.all():
            raise ValueError("a vector must not be zero")
        units: Floats = (ints / np.sqrt(norms)[:, None]).astype(np.float32)
        return units

    def append(self, table: Table, rows: npt.NDArray[np.int32], units: Floats) -> None:
        """Put unit vectors (n, dim) with known norms into a table without an HNSW, under row numbers that are free."""
        end = table.count + len(rows)
        block = self._room(table, end)
        self.slab.vectors(block, end)[table.count :] = units
        self.slab.owners(block, end)[table.count :] = rows
        self._places[rows] = np.arange(table.count, end, dtype=np.int32)
        table.count = end

    def remove(self, table: Table, row: int) -> None:
        """Remove a row; the last of its block takes its place."""
        if table.block is None:
            if table.hnsw is not None:
                table.hnsw.remove(row)
            return
        place = int(self._places[row])
        if table.hnsw is not None and place < table.moved:
            table.hnsw.remove(row)
        last = table.count - 1
        if place != last:
            vectors = self.slab.vectors(table.block, table.count)
            owners = self.slab.owners(table.block, table.count)
            mover = int(owners[last])
            vectors[place] = vectors[last]
            owners[place] = mover
            self._places[mover] = place
            if table.hnsw is not None and place < table.moved <= last:
                self._enter(table.hnsw, mover, vectors[place])
        table.count = last
        table.moved = min(table.moved, last)
        if table.count == 0 and table.hnsw is None:
            self.slab.give_back(table.block)
            table.block = None

    def become_ann(self, table: Table, ef: int) -> None:
        """Start moving the table's vectors into an HNSW, a few with each addition."""
        table.search = "ann"
        if table.hnsw is None:
            table.hnsw = HnswIndex(self.dim, max(table.count * 2, 64), ef)

    def build(self, table: Table, rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16], threads: int) -> None:
        """Fill the HNSW of an ann table at once with vectors of record (n, dim): for a restore."""
        if table.hnsw is None or not len(rows):
            return
        units = self.units_of(rows, ints)
        self._record(rows, ints)
        table.hnsw.add_many(rows, units, threads)

    def load(self, table: Table, graph: SavedGraph, ef: int) -> None:
        """Give an ann table that holds nothing a saved graph for its HNSW, whose vectors nobody owns yet.

        Raises ValueError for a file that is no such graph.
        """
        table.hnsw = HnswIndex(graph.dim, 0, ef, graph)

    def adopt(
        self,
        table: Table,
        rows: npt.NDArray[np.int32],
        ints: npt.NDArray[np.int16],
        labels: npt.NDArray[np.int64],
    ) -> None:
        """Give vectors of record (n, dim) that the table's loaded graph has, by label, to their rows."""
        if table.hnsw is None or not len(rows):
            return
        self._keep_norms(rows, ints)
        self._record(rows, ints)
        table.hnsw.adopt(labels, rows)

    def renew(self, table: Table, rows: npt.NDArray[np.int32], ef: int, batch: int, threads: int) -> None:
        """Build the HNSW of an ann table anew from the vectors of record of its rows, so many at a time."""
        table.hnsw = HnswIndex(self.dim, len(rows), ef)
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            self.build(table, some, self._records.get(some.tolist()), threads)

    def _keep_norms(self, rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
        """Keep the squared norms (n) of vectors of record (n, dim) under their row numbers; returns them."""
        self._reserve(int(rows.max()))
        norms: npt.NDArray[np.int64] = np.einsum("ij,ij->i", ints, ints, dtype=np.int64)
        self._norms[rows] = norms
        return norms

    def _record(self, rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16]) -> None:
        """Keep vectors of record (n, dim) in the file."""
        for first, last in _runs(rows):
            self._records.put_run(int(rows[first]), ints[first:last])

    def search(self, table: Table, query: QueryVector, count: int, floor: float, ef: int) -> list[VectorMatch]:
        """The `count` nearest candidates at or above `floor`, more on a tie, in no order: the caller ranks by age.

        When none is at or above it, the nearest alone, so that a decision can say how far away it is.
        """
        if table.block is None:
            return self._search_hnsw(table, query, count, floor, ef)
        vectors = self.slab.vectors(table.block, table.count)
        if not len(vectors):
            return []
        rough = self._rough(table, vectors, query)
        # `argmax` goes to the numbers at once, `max` by way of the interpreter.
        near = np.flatnonzero(rough >= min(floor, rough.item(rough.argmax())) - MARGIN)
        if len(near) > count:
            kth = np.partition(rough[near], len(near) - count)[len(near) - count]
            near = near[rough[near] >= kth - MARGIN]
        rows = self.slab.owners(table.block, table.count)[near].tolist()
        return self._ranked(rows, self._recorded(rows, vectors[near]), query, floor)

    def _rough(self, table: Table, vectors: Floats, query: QueryVector) -> Floats:
        """Similarities (count) in float32 with the vectors (count, dim) of the table's block."""
        found: Floats = vectors @ query.unit
        return found

    def _search_hnsw(self, table: Table, query: QueryVector, count: int, floor: float, ef: int) -> list[VectorMatch]:
        if table.hnsw is None:
            return []
        rows, rough = table.hnsw.nearest(query.unit, count, ef)
        if not rows:
            return []
        least = min(floor, rough[0]) - MARGIN
        if rough[-1] < least:
            rows = [row for row, similarity in zip(rows, rough, strict=True) if similarity >= least]
        return self._ranked(rows, self._records.get(rows), query, floor)

    def _recorded(self, rows: list[int], vectors: Floats) -> Floats:
        """The vectors of record (n, dim) of which these are the unit vectors."""
        found: Floats = np.rint(vectors * np.sqrt(self._norms[rows]).astype(np.float32)[:, None])
        return found

    def _ranked(
        self, rows: list[int], records: npt.NDArray[Any], query: QueryVector, floor: float
    ) -> list[VectorMatch]:
        # Products of int16 add up to less than 2**53: float64 sums them exactly in any order.
        dots: list[float] = (records.astype(np.float64) @ query.wide).tolist()
        norms: list[int] = self._norms[rows].tolist()
        found = [cosine(int(dot), norm, query.norm) for dot, norm in zip(dots, norms, strict=True)]
        least = min(floor, max(found))
        return [VectorMatch(row, each) for row, each in zip(rows, found, strict=True) if each >= least]

    def _room(self, table: Table, rows: int) -> Block:
        """The block of a table, with room for so many rows."""
        block = table.block
        if block is None or rows > block.rows:
            larger = self.slab.take(rows)
            if block is not None:
                self.slab.vectors(larger, table.count)[:] = self.slab.vectors(block, table.count)
                self.slab.owners(larger, table.count)[:] = self.slab.owners(block, table.count)
                self.slab.give_back(block)
            block = table.block = larger
        return block

    def _append(self, table: Table, row: int, vector: Floats) -> None:
        block = self._room(table, table.count + 1)
        self.slab.vectors(block, table.count + 1)[table.count] = vector
        self.slab.owners(block, table.count + 1)[table.count] = row
        self._places[row] = table.count
        table.count += 1

    def _enter(self, hnsw: HnswIndex, row: int, vector: Floats) -> None:
        self._records.put(row, self._recorded([row], vector[None])[0].astype(np.int16))
        hnsw.add(row, vector)

    def _move(self, table: Table, number: int) -> None:
        if table.hnsw is None or table.block is None:
            return
        vectors = self.slab.vectors(table.block, table.count)
        owners = self.slab.owners(table.block, table.count)
        end = min(table.count, table.moved + number)
        for place in range(table.moved, end):
            self._enter(table.hnsw, int(owners[place]), vectors[place])
        table.moved = end
        if table.moved == table.count:
            self.slab.give_back(table.block)
            table.block = None
            table.count = table.moved = 0

    def _reserve(self, row: int) -> None:
        if row >= len(self._norms):
            more = max(row + 1, len(self._norms) * 2)
            self._norms = np.resize(self._norms, more)
            self._places = np.resize(self._places, more)


def _runs(rows: npt.NDArray[np.int32]) -> list[tuple[int, int]]:
    """Where neighbouring rows stand one after the other, as (first, end)."""
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    bounds = [0, *cuts.tolist(), len(rows)]
    return list(pairwise(bounds))
