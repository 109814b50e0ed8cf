"""The namespaces of a shard: the vector table of each, and how it is searched.

Questions of one namespace are compared with each other, and with no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from refrain.streams.shard.index.hnsw import SavedGraph
from refrain.streams.shard.index.vector_tables import QueryVector, Search, Table, Tables

EF_AT_FIRST = 64
"""The breadth of a new HNSW's searches; every search sets its own."""


class Namespaces:
    """The namespaces that hold entries, by digest. Each has a number while it does; numbers are reused."""

    def __init__(self, tables: Callable[[int], Tables]) -> None:
        """`tables` makes the vector tables of so many dimensions."""
        self._tables_of = tables
        self._numbers: dict[bytes, int] = {}
        self._names: list[bytes] = []
        self._counts: list[int] = []
        """Of the entries of each."""
        self._free: list[int] = []
        self._tables: dict[int, Tables] = {}
        self._placed: dict[int, tuple[Tables, Table]] = {}
        self._modes: dict[bytes, Search] = {}

    def holds_any(self, namespace: bytes) -> bool:
        """Whether the namespace holds an entry."""
        return namespace in self._numbers

    def dimensions(self, namespace: bytes) -> int | None:
        """Dimensions of the namespace's vectors, None without any."""
        place = self.place(namespace)
        return None if place is None else place[0].dim

    def hnsw(self, namespace: bytes) -> Any:
        """Bare hnswlib index of the namespace, None while it has none: for benches."""
        place = self.place(namespace)
        return None if place is None or place[1].hnsw is None else place[1].hnsw.index

    def table_size(self, namespace: bytes) -> int:
        """Vectors in the namespace's table."""
        place = self.place(namespace)
        return 0 if place is None else len(place[1])

    def mode(self, namespace: bytes) -> Search:
        """Search mode of the namespace: exact or ann."""
        return self._modes.get(namespace, "exact")

    def number(self, namespace: bytes) -> int | None:
        """The number of a namespace, None while it holds nothing."""
        return self._numbers.get(namespace)

    def place(self, namespace: bytes) -> tuple[Tables, Table] | None:
        """The table of a namespace and those it is one of, None without any vector."""
        number = self._numbers.get(namespace)
        return None if number is None else self._placed.get(number)

    def enter(self, namespace: bytes) -> int:
        """Count one entry more in a namespace; its number."""
        number = self._number(namespace)
        self._counts[number] += 1
        return number

    def leave(self, number: int) -> None:
        """Count one entry less."""
        # Contexts come and go (a date in a prompt): a namespace that holds nothing must cost nothing.
        self._counts[number] -= 1
        if self._counts[number] == 0:
            self._placed.pop(number, None)
            del self._numbers[self._names[number]]
            self._free.append(number)

    def append_vectors(
        self, numbers: npt.NDArray[np.int32], rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16]
    ) -> None:
        """Put vectors of record (n, dim) of rows into the tables of namespaces, by their numbers, none an ann one.

        Raises ValueError for a vector without length.
        """
        dim = ints.shape[1]
        units = self._tables_with(dim).units_of(rows, ints)
        order = np.argsort(numbers, kind="stable")
        cuts = np.flatnonzero(np.diff(numbers[order])) + 1
        for places in np.split(order, cuts):
            tables, table = self._table_of(int(numbers[places[0]]), dim)
            tables.append(table, rows[places], units[places])

    def add_vector(self, namespace: bytes, row: int, query: QueryVector) -> None:
        """Put the vector of a row into its namespace's table."""
        tables, table = self._table(namespace, len(query.ints))
        tables.add(table, row, query)

    def remove_vector(self, number: int, row: int) -> None:
        """Take the vector of a row out of the table of a namespace, by its number."""
        tables, table = self._placed[number]
        tables.remove(table, row)
        if not len(table):
            # A restored shard has no table either where only entries without a vector are left.
            del self._placed[number]

    def set_mode(self, namespace: bytes, mode: Search) -> None:
        """Change how a namespace is searched."""
        self._modes[namespace] = mode
        place = self.place(namespace)
        if mode == "ann" and place is not None:
            place[0].become_ann(place[1], EF_AT_FIRST)

    def build(self, namespace: bytes, rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16], threads: int) -> None:
        """Build the HNSW of an ann namespace at once from the vectors of record (n, dim) of its rows."""
        tables, table = self._table(namespace, ints.shape[1])
        tables.build(table, rows, ints, threads)

    def load_graph(self, namespace: bytes, graph: SavedGraph) -> None:
        """Give an ann namespace that holds no vector yet a saved graph. Raises ValueError for a file that is none."""
        tables, table = self._table(namespace, graph.dim)
        tables.load(table, graph, EF_AT_FIRST)

    def adopt(
        self,
        namespace: bytes,
        rows: npt.NDArray[np.int32],
        ints: npt.NDArray[np.int16],
        labels: npt.NDArray[np.int64],
    ) -> None:
        """Give vectors of record (n, dim) that the namespace's loaded graph has, by label, to their rows."""
        tables, table = self._table(namespace, ints.shape[1])
        tables.adopt(table, rows, ints, labels)

    def graphs(self) -> Iterator[bytes]:
        """The namespaces that an HNSW holds whole: those whose graphs can be saved."""
        for namespace, number in self._numbers.items():
            place = self._placed.get(number)
            if place is not None and place[1].hnsw is not None and place[1].block is None:
                yield namespace

    def _table(self, namespace: bytes, dim: int) -> tuple[Tables, Table]:
        return self._table_of(self._number(namespace), dim)

    def _table_of(self, number: int, dim: int) -> tuple[Tables, Table]:
        place = self._placed.get(number)
        if place is None:
            tables = self._tables_with(dim)
            place = self._placed[number] = (tables, Table())
            if self._modes.get(self._names[number]) == "ann":
                tables.become_ann(place[1], EF_AT_FIRST)
        return place

    def _tables_with(self, dim: int) -> Tables:
        tables = self._tables.get(dim)
        if tables is None:
            tables = self._tables[dim] = self._tables_of(dim)
        return tables

    def _number(self, namespace: bytes) -> int:
        number = self._numbers.get(namespace)
        if number is not None:
            return number
        if self._free:
            number = self._free.pop()
            self._names[number] = namespace
        else:
            number = len(self._names)
            self._names.append(namespace)
            self._counts.append(0)
        self._numbers[namespace] = number
        return number
