"""The HNSW of a large table: hnswlib behind what a table needs, with labels that are never used twice."""

from __future__ import annotations

from typing import Any

import hnswlib
import numpy as np
import numpy.typing as npt

from streams.vectors import Floats

M = 16
EF_CONSTRUCTION = 100
SEED = 100
GROWTH = 1.5
REPLACE_FROM = 0.25
"""Share of deleted elements from which their room is used again: replacing costs several plain inserts."""
GONE = -1
_OWNER_BITS = 32
_OWNER_MASK = (1 << _OWNER_BITS) - 1


class Graph:
    """Vectors (dim) by owner: approximate nearest neighbours by inner product."""

    def __init__(self, dim: int, capacity: int, ef: int) -> None:
        self.index: Any = hnswlib.Index(space="ip", dim=dim)
        self.index.init_index(
            max_elements=max(capacity, 16),
            M=M,
            ef_construction=EF_CONSTRUCTION,
            random_seed=SEED,
            allow_replace_deleted=True,
        )
        self.index.set_num_threads(1)
        self.index.set_ef(ef)
        self._ef = ef
        self._labels: npt.NDArray[np.int64] = np.full(capacity, GONE, dtype=np.int64)
        """The label of each owner. Owners are row numbers of the shard: small and used again."""
        self._count = 0
        self._generation = 0
        self._deleted = 0

    def __len__(self) -> int:
        return self._count

    def add(self, owner: int, vector: Floats) -> None:
        """Add one vector."""
        replace = self._deleted > REPLACE_FROM * (self._count + self._deleted)
        if not replace:
            self._grow(1)
        self.index.add_items(
            vector.reshape(1, -1), np.array([self._label(owner)], dtype=np.uint64), replace_deleted=replace
        )
        if replace:
            self._deleted -= 1

    def add_many(self, owners: npt.NDArray[np.int32], vectors: Floats, threads: int) -> None:
        """Add vectors (n, dim) at once, on several threads: for a restore, where nobody waits."""
        self._grow(len(owners))
        labels = np.array([self._label(int(owner)) for owner in owners], dtype=np.uint64)
        self.index.add_items(vectors, labels, num_threads=threads)

    def remove(self, owner: int) -> None:
        """Take a vector out; its room is used again later."""
        self.index.mark_deleted(int(self._labels[owner]))
        self._labels[owner] = GONE
        self._count -= 1
        self._deleted += 1

    def nearest(self, query: Floats, count: int, ef: int) -> tuple[list[int], list[float]]:
        """Up to `count` owners with their similarities, nearest first; fewer when fewer are found."""
        if ef != self._ef:
            self.index.set_ef(ef)
            self._ef = ef
        count = min(count, self._count)
        while count > 0:
            try:
                labels, distances = self.index.knn_query(query, k=count)
            except RuntimeError:
                # hnswlib raises when it finds fewer than k alive: ask for fewer.
                count //= 2
                continue
            return [int(label) & _OWNER_MASK for label in labels[0]], (1.0 - distances[0]).tolist()
        return [], []

    def vectors(self, owners: list[int]) -> Floats:
        """The vectors of owners, (n, dim)."""
        found: Floats = np.asarray(self.index.get_items(self._labels[owners], return_type="numpy"), dtype=np.float32)
        return found

    def _label(self, owner: int) -> int:
        self._generation += 1
        label = (self._generation << _OWNER_BITS) | owner
        while owner >= len(self._labels):
            self._labels = np.concatenate((self._labels, np.full_like(self._labels, GONE)))
        self._labels[owner] = label
        self._count += 1
        return label

    def _grow(self, more: int) -> None:
        wanted = self.index.get_current_count() + more
        if wanted > self.index.get_max_elements():
            self.index.resize_index(max(wanted, int(self.index.get_max_elements() * GROWTH)))
