"""Who holds how much: the entries of each tenant and category, and which of them goes first.

The one that was not used for the longest goes. An entry's place in the heap is put right when it comes up: uses only
grow, so the first whose place is right is the least. A place is one number, offset of the use and row: a shard holds
hundreds of thousands of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_ROW_BITS = 32
_ROW_MASK = (1 << _ROW_BITS) - 1
NOWHERE = -1


class Uses:
    """The offset of each row's last use, and under which one it stands in its room's heap. Grows with the rows."""

    def __init__(self) -> None:
        self.last: npt.NDArray[np.int64] = np.zeros(16, dtype=np.int64)
        self.placed: npt.NDArray[np.int64] = np.full(16, NOWHERE, dtype=np.int64)

    def reserve(self, rows: int) -> None:
        """Make room for so many rows."""
        while len(self.last) < rows:
            self.last = np.concatenate((self.last, np.zeros_like(self.last)))
            self.placed = np.concatenate((self.placed, np.full_like(self.placed, NOWHERE)))


class Room:
    """The entries of one tenant and category by row number."""

    __slots__ = ("count", "heap")

    def __init__(self) -> None:
        self.count = 0
        self.heap: list[int] = []

    def enter(self, row: int, uses: Uses) -> None:
        """An entry came in."""
        self.count += 1
        self._place(row, uses)

    def leave(self, row: int, uses: Uses) -> None:
        """An entry left; its place in the heap is dropped when it comes up."""
        self.count -= 1
        uses.placed[row] = NOWHERE
        if len(self.heap) > 2 * self.count + 64:
            self.heap = [item for item in self.heap if self._is_current(item, uses)]
            heapq.heapify(self.heap)

    def first_out(self, number: int, uses: Uses) -> list[int]:
        """The rows of the `number` entries to evict, least recently used first; they stay until they `leave`."""
        chosen: list[int] = []
        for row in self._least(uses):
            chosen.append(row)
            if len(chosen) == number:
                break
        for row in chosen:
            self._place(row, uses)
        return chosen

    def _least(self, uses: Uses) -> Iterator[int]:
        while self.heap:
            item = heapq.heappop(self.heap)
            if not self._is_current(item, uses):
                continue
            row = item & _ROW_MASK
            if uses.last[row] > item >> _ROW_BITS:
                self._place(row, uses)
                continue
            yield row

    def _place(self, row: int, uses: Uses) -> None:
        last = int(uses.last[row])
        uses.placed[row] = last
        heapq.heappush(self.heap, last << _ROW_BITS | row)

    @staticmethod
    def _is_current(item: int, uses: Uses) -> bool:
        return bool(uses.placed[item & _ROW_MASK] == item >> _ROW_BITS)
