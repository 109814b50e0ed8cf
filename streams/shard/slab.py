"""One slab of vectors for all small tables: each has a block of rows side by side, so that a scan is one product.

Blocks grow by a third to a half, so that 20,000 namespaces of five entries waste little.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.vectors import Floats

CHUNK_ROWS = 4_096


class Block(NamedTuple):
    """A run of rows in one chunk."""

    chunk: int
    start: int
    rows: int


def block_rows(wanted: int) -> int:
    """The smallest block size (1, 2, 3, 4, 6, 8, 12, 16, 24 ...) that holds `wanted` rows."""
    size = 1
    while size < wanted:
        if size >= 2 and size * 3 // 2 >= wanted and size % 2 == 0:
            return size * 3 // 2
        size *= 2
    return size


class Slab:
    """Rows of float32 vectors (dim) with the number of the row's owner beside each."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._vectors: list[Floats] = []
        self._owners: list[npt.NDArray[np.int32]] = []
        self._used = CHUNK_ROWS
        self._free: dict[int, list[Block]] = {}

    def take(self, wanted: int) -> Block:
        """A block of at least `wanted` rows."""
        rows = block_rows(wanted)
        free = self._free.get(rows)
        if free:
            return free.pop()
        if not self._vectors or self._used + rows > len(self._owners[-1]):
            self._keep_rest()
            size = max(CHUNK_ROWS, rows)
            self._vectors.append(np.empty((size, self.dim), dtype=np.float32))
            self._owners.append(np.empty(size, dtype=np.int32))
            self._used = 0
        block = Block(len(self._vectors) - 1, self._used, rows)
        self._used += rows
        return block

    def give_back(self, block: Block) -> None:
        """Let another table have the block."""
        self._free.setdefault(block.rows, []).append(block)

    def vectors(self, block: Block, count: int) -> Floats:
        """The first `count` vectors of a block, (count, dim), not copied."""
        return self._vectors[block.chunk][block.start : block.start + count]

    def owners(self, block: Block, count: int) -> npt.NDArray[np.int32]:
        """The owners of the first `count` rows of a block, not copied."""
        return self._owners[block.chunk][block.start : block.start + count]

    def _keep_rest(self) -> None:
        if not self._vectors:
            return
        last = len(self._vectors) - 1
        left = len(self._owners[last]) - self._used
        while left > 0:
            size = 1
            while size * 2 <= left:
                size *= 2
            self.give_back(Block(last, self._used, size))
            self._used += size
            left -= size
