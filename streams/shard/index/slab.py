"""Slab allocator of vectors for all small tables: each has a block of rows side by side, so that a scan is one product.

Blocks grow by a quarter, and freed ones join with free neighbours, so that 20,000 namespaces that grow in turn waste
little.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.streams.vectors import Floats

CHUNK_ROWS = 4_096


class Block(NamedTuple):
    """A run of rows in one chunk."""

    chunk: int
    start: int
    rows: int


def block_rows(wanted: int) -> int:
    """The smallest block size (1 to 8, 10, 12, 14, 16, 20, 24 ...: steps of a quarter) that holds `wanted` rows."""
    step = 1
    while wanted > 8 * step:
        step *= 2
    return -(-wanted // step) * step


class Slab:
    """Rows of float32 vectors (dim) with the number of the row's owner beside each."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._vectors: list[Floats] = []
        self._owners: list[npt.NDArray[np.int32]] = []
        self._free = _FreeRuns()

    @property
    def rows(self) -> int:
        """Rows of all chunks."""
        return sum(map(len, self._owners))

    def take(self, wanted: int) -> Block:
        """Allocate a block of at least `wanted` rows."""
        rows = block_rows(wanted)
        found = self._free.take(rows)
        if found is not None:
            return found
        size = max(CHUNK_ROWS, rows)
        self._vectors.append(np.empty((size, self.dim), dtype=np.float32))
        self._owners.append(np.empty(size, dtype=np.int32))
        chunk = len(self._vectors) - 1
        if size > rows:
            self._free.put(Block(chunk, rows, size - rows))
        return Block(chunk, 0, rows)

    def give_back(self, block: Block) -> None:
        """Free a block for other tables."""
        self._free.put(block)

    def vectors(self, block: Block, count: int) -> Floats:
        """The first `count` vectors of a block, (count, dim), not copied."""
        return self._vectors[block.chunk][block.start : block.start + count]

    def owners(self, block: Block, count: int) -> npt.NDArray[np.int32]:
        """The owners of the first `count` rows of a block, not copied."""
        return self._owners[block.chunk][block.start : block.start + count]


class _FreeRuns:
    """Runs of free rows: found by length, joined with the neighbours that are free too."""

    def __init__(self) -> None:
        self._by_start: dict[tuple[int, int], int] = {}
        self._by_end: dict[tuple[int, int], int] = {}
        self._by_bits: dict[int, dict[tuple[int, int], None]] = {}
        """Starts of runs by the bits of their length; dictionaries, because they keep their order."""

    def take(self, rows: int) -> Block | None:
        """Allocate a run of exactly `rows`, cut from the beginning of a free one; None when none is long enough."""
        place = self._find(rows)
        if place is None:
            return None
        length = self._remove(place)
        chunk, start = place
        if length > rows:
            self._add((chunk, start + rows), length - rows)
        return Block(chunk, start, rows)

    def put(self, block: Block) -> None:
        """Free a run, joined with free neighbours."""
        chunk, start, rows = block
        before = self._by_end.get((chunk, start))
        if before is not None:
            rows += self._remove((chunk, before))
            start = before
        after = (chunk, start + rows)
        if after in self._by_start:
            rows += self._remove(after)
        self._add((chunk, start), rows)

    def _find(self, rows: int) -> tuple[int, int] | None:
        bits = rows.bit_length()
        # Of runs with as many bits as asked for, only those of a power of two are surely long enough.
        first = next(iter(self._by_bits.get(bits, ())), None)
        if first is not None and self._by_start[first] >= rows:
            return first
        for larger in range(bits + 1, max(self._by_bits, default=0) + 1):
            found = next(iter(self._by_bits.get(larger, ())), None)
            if found is not None:
                return found
        return None

    def _add(self, place: tuple[int, int], rows: int) -> None:
        self._by_start[place] = rows
        self._by_end[(place[0], place[1] + rows)] = place[1]
        self._by_bits.setdefault(rows.bit_length(), {})[place] = None

    def _remove(self, place: tuple[int, int]) -> int:
        rows = self._by_start.pop(place)
        del self._by_end[(place[0], place[1] + rows)]
        del self._by_bits[rows.bit_length()][place]
        return rows
