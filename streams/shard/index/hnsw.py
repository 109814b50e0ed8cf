"""HNSW index of a large table, on hnswlib, with labels that are never used twice.

hnswlib only marks what is removed, and searches on through it. To use such a slot again repairs the links of all its
neighbours: measured at 10,000 vectors that come and go, 5 to 20 plain inserts each, and more with every round. So slots
are not used again: when enough is marked, a successor is filled beside, a few vectors with each addition, and takes
over once it holds them all. Nobody waits for a rebuild, and over time an addition costs about three plain inserts.

A graph can be saved, and is loaded some seventy times as quickly as it is built: a `SavedGraph` says of which entry
each of its labels is.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import hnswlib
import numpy as np
import numpy.typing as npt

from refrain.streams.vectors import Floats

M = 16
EF_CONSTRUCTION = 100
SEED = 100
GROWTH = 1.5
SUCCEED_FROM = 0.5
"""Removed vectors, as a share of those alive, from which a successor is filled."""
MOVED_PER_ADD = 4
"""Vectors that move into the successor with each addition: about 1 ms."""
LEAST = 16
GONE = -1
ROOM = 1.2
"""Room of a graph that was loaded, by what it holds: what comes next need not wait until it is copied."""


def graph_format() -> str:
    """What wrote the files of graphs on this machine: one of another library, or another machine, is not read."""
    return f"hnswlib-{version('hnswlib')}/{sys.byteorder}/{8 * struct.calcsize('P')}"


class SavedGraph(NamedTuple):
    """Saved graph of one table: its file, and what is in it."""

    path: Path
    dim: int
    ids: npt.NDArray[np.int64]
    """The id of the entry of each label (n); `GONE` for a vector that was removed."""


class HnswIndex:
    """HNSW index of vectors (dim) by owner: approximate nearest neighbours by inner product."""

    def __init__(self, dim: int, capacity: int, ef: int, graph: SavedGraph | None = None) -> None:
        """An empty index with room for `capacity`, or that of a saved graph: nobody owns its vectors until `adopt`.

        Raises ValueError for a file that is no such graph.
        """
        self._dim = dim
        self._now = _Index.empty(dim, capacity) if graph is None else _Index.load(graph)
        self._now.index.set_ef(ef)
        self._ef = ef
        self._next: _Index | None = None
        self._to_move: list[int] = []
        """Owners that the successor may not hold yet."""

    def __len__(self) -> int:
        return self._now.count

    @property
    def index(self) -> Any:
        """The hnswlib index that is searched."""
        return self._now.index

    @property
    def is_worn(self) -> bool:
        """Whether so much is marked as removed that a successor is to be filled."""
        return self._now.removed > max(LEAST, SUCCEED_FROM * self._now.count)

    def add(self, owner: int, vector: Floats) -> None:
        """Add one vector."""
        self._now.add(owner, vector)
        if self._next is not None:
            self._next.add(owner, vector)
            self._move(self._next)
        elif self.is_worn:
            self._to_move = self._now.owners()
            # Large enough to its end: an index that is resized is copied, and whoever asks waits.
            self._next = _Index.empty(self._dim, int((1 + SUCCEED_FROM + 2 / MOVED_PER_ADD) * len(self._to_move)))

    def add_many(self, owners: npt.NDArray[np.int32], vectors: Floats, threads: int) -> None:
        """Add vectors (n, dim) at once, on several threads: for a restore, where nobody waits."""
        self._now.add_many(owners, vectors, threads)

    def save(self, path: Path) -> npt.NDArray[np.int32]:
        """Write the graph into a file. Returns the owner of each label, `GONE` for one that was removed.

        Raises OSError when the disk does not take it.
        """
        self._now.index.save_index(str(path))
        # hnswlib says nothing of a disk that is full.
        if path.stat().st_size != self._now.index.index_file_size():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return self._now.owner_of_labels()

    def adopt(self, labels: npt.NDArray[np.int64], owners: npt.NDArray[np.int32]) -> None:
        """Give vectors of a loaded graph to their owners, by label (both n)."""
        self._now.adopt(labels, owners)

    def drop_orphans(self, labels: Sequence[int]) -> None:
        """Remove those vectors of a loaded graph that nobody has adopted."""
        self._now.drop_orphans(labels)

    def remove(self, owner: int) -> None:
        """Remove a vector; its slot is freed when a successor takes over."""
        self._now.remove(owner)
        if self._next is not None and self._next.holds(owner):
            self._next.remove(owner)

    def owners(self) -> list[int]:
        """The owners of all vectors."""
        return self._now.owners()

    def nearest(self, query: Floats, count: int, ef: int) -> tuple[list[int], list[float]]:
        """Up to `count` owners with their similarities, nearest first; fewer when fewer are found."""
        if ef != self._ef:
            self._now.index.set_ef(ef)
            self._ef = ef
        count = min(count, self._now.count)
        while count > 0:
            try:
                labels, distances = self._now.index.knn_query(query, k=count)
            except RuntimeError:
                # hnswlib raises when it finds fewer than k alive: ask for fewer.
                count //= 2
                continue
            return self._now.owners_of(labels[0]), (1.0 - distances[0]).tolist()
        return [], []

    def vectors(self, owners: list[int]) -> Floats:
        """The vectors of owners, (n, dim)."""
        return self._now.vectors(owners)

    def _move(self, successor: _Index) -> None:
        moved = 0
        while self._to_move and moved < MOVED_PER_ADD:
            owner = self._to_move.pop()
            if self._now.holds(owner) and not successor.holds(owner):
                successor.add(owner, self._now.vectors([owner])[0])
                moved += 1
        if not self._to_move:
            successor.index.set_ef(self._ef)
            self._now, self._next = successor, None


class _Index:
    """One hnswlib index, the label of each owner and the owner of each label.

    Owners are row numbers of the shard: small and used again. Labels count what was added.
    """

    def __init__(self, index: Any, room: int, added: int = 0, removed: int = 0) -> None:
        """An index of hnswlib with room for so many; nobody owns what was added to it so far."""
        index.set_num_threads(1)
        self.index = index
        self.count = 0
        self.removed = removed
        self._added = added
        """The next label."""
        self._labels: npt.NDArray[np.int32] = np.full(room, GONE, dtype=np.int32)
        self._owners: npt.NDArray[np.int32] = np.full(room, GONE, dtype=np.int32)

    @classmethod
    def empty(cls, dim: int, capacity: int) -> _Index:
        """A new one."""
        room = max(capacity, LEAST)
        index = hnswlib.Index(space="ip", dim=dim)
        index.init_index(max_elements=room, M=M, ef_construction=EF_CONSTRUCTION, random_seed=SEED)
        return cls(index, room)

    @classmethod
    def load(cls, graph: SavedGraph) -> _Index:
        """One from a file. Raises ValueError."""
        size = len(graph.ids)
        room = int(ROOM * size) + LEAST
        index = hnswlib.Index(space="ip", dim=graph.dim)
        try:
            index.load_index(str(graph.path), max_elements=room)
        except RuntimeError as error:
            raise ValueError(f"the graph {graph.path.name} cannot be loaded: {error}") from error
        if index.get_current_count() != size:
            raise ValueError(f"the graph {graph.path.name} has {index.get_current_count()} vectors, not {size}")
        return cls(index, room, size, int(np.count_nonzero(graph.ids == GONE)))

    def adopt(self, labels: npt.NDArray[np.int64], owners: npt.NDArray[np.int32]) -> None:
        self._reserve(int(owners.max()))
        self._labels[owners] = labels
        self._owners[labels] = owners
        self.count += len(owners)

    def drop_orphans(self, labels: Sequence[int]) -> None:
        for label in labels:
            self.index.mark_deleted(label)
        self.removed += len(labels)

    def holds(self, owner: int) -> bool:
        return owner < len(self._labels) and bool(self._labels[owner] != GONE)

    def owners(self) -> list[int]:
        found: list[int] = np.flatnonzero(self._labels != GONE).tolist()
        return found

    def owners_of(self, labels: npt.NDArray[np.uint64]) -> list[int]:
        found: list[int] = self._owners[labels].tolist()
        return found

    def owner_of_labels(self) -> npt.NDArray[np.int32]:
        return self._owners[: self._added].copy()

    def add(self, owner: int, vector: Floats) -> None:
        self._grow(1)
        self.index.add_items(vector.reshape(1, -1), np.array([self._label(owner)], dtype=np.uint64))

    def add_many(self, owners: npt.NDArray[np.int32], vectors: Floats, threads: int) -> None:
        self._grow(len(owners))
        labels = np.array([self._label(int(owner)) for owner in owners], dtype=np.uint64)
        self.index.add_items(vectors, labels, num_threads=threads)

    def remove(self, owner: int) -> None:
        label = int(self._labels[owner])
        self.index.mark_deleted(label)
        self._labels[owner] = self._owners[label] = GONE
        self.count -= 1
        self.removed += 1

    def vectors(self, owners: list[int]) -> Floats:
        found: Floats = np.asarray(self.index.get_items(self._labels[owners], return_type="numpy"), dtype=np.float32)
        return found

    def _label(self, owner: int) -> int:
        label = self._added
        self._added += 1
        self._reserve(owner)
        self._labels[owner] = label
        self._owners[label] = owner
        self.count += 1
        return label

    def _reserve(self, owner: int) -> None:
        while owner >= len(self._labels):
            self._labels = np.concatenate((self._labels, np.full_like(self._labels, GONE)))

    def _grow(self, more: int) -> None:
        wanted = self.index.get_current_count() + more
        if wanted > self.index.get_max_elements():
            self.index.resize_index(max(wanted, int(self.index.get_max_elements() * GROWTH)))
        size = self.index.get_max_elements()
        if size > len(self._owners):
            more_owners = np.full(size - len(self._owners), GONE, dtype=np.int32)
            self._owners = np.concatenate((self._owners, more_owners))
