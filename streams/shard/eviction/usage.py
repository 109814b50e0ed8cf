"""What eviction needs of each entry: columns of numbers by row, and the order in which entries go."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
from refrain.schemas.documents import Entry, EntryStats
from refrain.streams.shard.eviction.value import latency_of, size_of, tokens_of

NOWHERE = -1
NUMBER_BITS = 32
LAST_BITS = 64
NUMBER_MASK = (1 << NUMBER_BITS) - 1
LAST_MASK = (1 << LAST_BITS) - 1

_FLOAT = struct.Struct("<d")
_BITS = struct.Struct("<q")


def place(key: float, last: int, number: int) -> int:
    """One number that sorts by `key` (not negative), then `last` (an offset), and tells `number` (a row or a room).

    A shard holds hundreds of thousands of places: a number takes a third of what a tuple does.
    """
    bits: int = _BITS.unpack(_FLOAT.pack(key + 0.0))[0]
    return (bits << LAST_BITS | last) << NUMBER_BITS | number


def last_of(place: int) -> int:
    """The offset in a place."""
    return place >> NUMBER_BITS & LAST_MASK


class Usage:
    """Columns by row; they grow with the rows."""

    def __init__(self) -> None:
        self.room: npt.NDArray[np.int32] = np.full(16, NOWHERE, dtype=np.int32)
        self.last: npt.NDArray[np.int64] = np.zeros(16, dtype=np.int64)
        """The journal offset of the last touch: an admission or a use. No two entries have the same."""
        self.placed: npt.NDArray[np.int64] = np.full(16, NOWHERE, dtype=np.int64)
        """Under which offset the row stands in its room's heap."""
        self.hits: npt.NDArray[np.int64] = np.zeros(16, dtype=np.int64)
        self.value: npt.NDArray[np.float64] = np.zeros(16, dtype=np.float64)
        """As it was at the last touch."""
        self.latency: npt.NDArray[np.int32] = np.zeros(16, dtype=np.int32)
        self.tokens: npt.NDArray[np.int32] = np.zeros(16, dtype=np.int32)
        self.size: npt.NDArray[np.int32] = np.zeros(16, dtype=np.int32)

    def reserve(self, rows: int) -> None:
        """Make room for so many rows."""
        while len(self.last) < rows:
            for name, column in vars(self).items():
                setattr(self, name, np.concatenate((column, np.full_like(column, NOWHERE))))

    def enter(self, row: int, room: int, entry: Entry, stats: EntryStats | None) -> None:
        """An entry takes a row."""
        self.room[row] = room
        self.hits[row] = 0 if stats is None else stats.hits
        self.last[row] = entry.id if stats is None else stats.last_offset
        self.value[row] = entry.value if stats is None else stats.value
        self.latency[row] = latency_of(entry)
        self.tokens[row] = tokens_of(entry)
        self.size[row] = size_of(entry)

    def leave(self, row: int) -> None:
        """The row is free."""
        self.room[row] = self.placed[row] = NOWHERE

    def cost(self, kind: str) -> npt.NDArray[np.int32]:
        """The column of what a hit saves, by the name that the policy gives it."""
        return self.tokens if kind == "tokens" else self.latency
