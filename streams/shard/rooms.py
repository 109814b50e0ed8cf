"""Who holds how much: the entries of each tenant and category, and which of them goes first.

The one that was not used for the longest goes. Keys in the heap may be older than the entry's last use
and are put right when they come up: uses only grow, so the first that is right is the least.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator


class Room:
    """The entries of one tenant and category by row number."""

    __slots__ = ("count", "heap")

    def __init__(self) -> None:
        self.count = 0
        self.heap: list[tuple[int, int, int]] = []

    def enter(self, last_offset: int, id_: int, row: int) -> None:
        """An entry came in."""
        self.count += 1
        heapq.heappush(self.heap, (last_offset, id_, row))

    def leave(self) -> None:
        """An entry left; its place in the heap is dropped when it comes up."""
        self.count -= 1

    def first_out(self, number: int, last_use: Callable[[int, int], int | None]) -> list[int]:
        """The rows of the `number` entries to evict, least recently used first; changes nothing that counts.

        `last_use(row, id)` gives the offset of the last use, None when the entry left already.
        """
        chosen: list[tuple[int, int, int]] = []
        for item in self._least(last_use):
            chosen.append(item)
            if len(chosen) == number:
                break
        for item in chosen:
            heapq.heappush(self.heap, item)
        return [row for _, _, row in chosen]

    def _least(self, last_use: Callable[[int, int], int | None]) -> Iterator[tuple[int, int, int]]:
        while self.heap:
            key, id_, row = heapq.heappop(self.heap)
            used = last_use(row, id_)
            if used is None:
                continue
            if used > key:
                heapq.heappush(self.heap, (used, id_, row))
                continue
            yield key, id_, row
