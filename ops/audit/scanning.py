"""Exact search of large tables for questions that are known before they are asked: one product for many.

A journal can be read ahead, so what will be looked for is known. A large table does not fit into the caches of a
processor: reading it once for all those questions takes a fraction of what it takes for each. What changes in the table
until a question comes is compared when it comes, so nothing is found that was not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from refrain.streams.shard.index.vector_tables import QueryVector, Table, Tables
from refrain.streams.vectors import Floats

AHEAD_FROM = 256
"""Vectors of a table from which on questions are compared ahead: a smaller one lies in a cache."""
HELD_MAX = 4_000_000
"""Similarities of one table that are held, four bytes each."""


class ScanningTables(Tables):
    """Tables that say that they search an HNSW, and go on scanning."""

    def __init__(self, dim: int, folder: Path | None = None) -> None:
        """`folder` is not used: there is no HNSW whose vectors would need a file."""
        super().__init__(dim, folder)
        self._ahead: dict[Table, _Ahead] = {}

    def expect(self, table: Table, coming: Sequence[QueryVector]) -> None:
        """Tell what will be looked for in a table, in the order in which it comes. Others may come between."""
        self._ahead[table] = _Ahead(coming)

    def expect_nothing(self) -> None:
        """Forget what was to come."""
        self._ahead = {}

    def similarity(self, table: Table, row: int, query: QueryVector) -> float | None:
        """The similarity of a row by integer arithmetic; None where the table does not have it."""
        if table.block is None or row >= len(self._places):
            return None
        place = int(self._places[row])
        if place >= table.count or self.slab.owners(table.block, table.count)[place] != row:
            return None
        vectors = self.slab.vectors(table.block, table.count)[place : place + 1]
        return self._ranked([row], self._recorded([row], vectors), query, -1.0)[0].similarity

    def become_ann(self, table: Table, ef: int) -> None:
        table.search = "ann"

    def build(self, table: Table, rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16], threads: int) -> None:
        for row, vector in zip(rows.tolist(), ints, strict=True):
            self.add(table, row, QueryVector.of(vector))

    def remove(self, table: Table, row: int) -> None:
        place = int(self._places[row])
        super().remove(table, row)
        ahead = self._ahead.get(table)
        if ahead is not None:
            ahead.removed(place, table.count)

    def _rough(self, table: Table, vectors: Floats, query: QueryVector) -> Floats:
        ahead = self._ahead.get(table)
        found = None if ahead is None else ahead.similarities(vectors, query)
        return super()._rough(table, vectors, query) if found is None else found


class _Ahead:
    """Similarities of coming questions with the vectors of a table, some questions at a time."""

    __slots__ = ("_changed", "_coming", "_found", "_keys", "_places", "_rows")

    def __init__(self, coming: Sequence[QueryVector]) -> None:
        self._coming = list(coming)
        self._keys = [each.ints.tobytes() for each in coming]
        self._found: Floats = np.empty((0, 0), np.float32)
        """(questions, rows) of those that have been compared."""
        self._places: dict[bytes, int] = {}
        """By vector of record: where its question stands there."""
        self._rows = 0
        """Vectors at the beginning of the block that were compared."""
        self._changed: set[int] = set()
        """Places among them that have another vector now."""

    def removed(self, place: int, count: int) -> None:
        """Note that the last vector has moved to this place, and that so many are left."""
        self._rows = min(self._rows, count)
        if place < self._rows:
            self._changed.add(place)

    def similarities(self, vectors: Floats, query: QueryVector) -> Floats | None:
        """The similarities (count) with the table's vectors (count, dim); None for a question that is not known."""
        key = query.ints.tobytes()
        if key not in self._places and not self._compare(vectors, key):
            return None
        rows = self._rows
        out = np.empty(len(vectors), np.float32)
        out[:rows] = self._found[self._places[key], :rows]
        if rows < len(vectors):
            out[rows:] = vectors[rows:] @ query.unit
        changed = [place for place in self._changed if place < rows]
        if changed:
            out[changed] = vectors[changed] @ query.unit
        return out

    def _compare(self, vectors: Floats, key: bytes) -> bool:
        """Compare a question, and as many of those after it as may be held. Returns whether it was to come."""
        if key not in self._keys:
            return False
        first = self._keys.index(key)
        end = first + max(1, HELD_MAX // len(vectors))
        some, keys = self._coming[first:end], self._keys[first:end]
        self._coming, self._keys = self._coming[end:], self._keys[end:]
        self._found = np.stack([each.unit for each in some]) @ vectors.T
        self._places = {each: at for at, each in enumerate(keys)}
        self._rows, self._changed = len(vectors), set()
        return True
