"""Usage columns: what eviction needs of each entry, by row, and the sort key of the eviction heaps."""

from __future__ import annotations

import struct
from collections.abc import Sequence

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


def heap_item(key: float, last: int, number: int) -> int:
    """Heap item: one number that sorts by `key` (not negative), then `last` (an offset), and holds `number`.

    `number` is a row or a bucket. A shard holds hundreds of thousands of items: a number takes a
    third of what a tuple does.
    """
    bits: int = _BITS.unpack(_FLOAT.pack(key + 0.0))[0]
    return (bits << LAST_BITS | last) << NUMBER_BITS | number


def last_of(item: int) -> int:
    """The offset in a heap item."""
    return item >> NUMBER_BITS & LAST_MASK


class Usage:
    """Usage of entries: columns by row, which grow with the rows."""

    def __init__(self) -> None:
        self.bucket: npt.NDArray[np.int32] = np.full(16, NOWHERE, dtype=np.int32)
        self.last: npt.NDArray[np.int64] = np.zeros(16, dtype=np.int64)
        """The journal offset of the last touch: an admission or a use. No two entries have the same."""
        self.placed: npt.NDArray[np.int64] = np.full(16, NOWHERE, dtype=np.int64)
        """Offset of the row's valid item in its bucket's heap."""
        self.hits: npt.NDArray[np.int64] = np.zeros(16, dtype=np.int64)
        self.value: npt.NDArray[np.float64] = np.zeros(16, dtype=np.float64)
        """The value as of the last touch."""
        self.latency: npt.NDArray[np.int32] = np.zeros(16, dtype=np.int32)
        self.tokens: npt.NDArray[np.int32] = np.zeros(16, dtype=np.int32)
        self.size: npt.NDArray[np.int32] = np.zeros(16, dtype=np.int32)

    def reserve(self, rows: int) -> None:
        """Grow the columns to so many rows."""
        while len(self.last) < rows:
            for name, column in vars(self).items():
                setattr(self, name, np.concatenate((column, np.full_like(column, NOWHERE))))

    def enter(self, row: int, bucket: int, entry: Entry, stats: EntryStats | None) -> None:
        """Fill a row with an entry's usage."""
        self.bucket[row] = bucket
        self.hits[row] = 0 if stats is None else stats.hits
        self.last[row] = entry.id if stats is None else stats.last_offset
        self.value[row] = entry.value if stats is None else stats.value
        self.latency[row] = latency_of(entry)
        self.tokens[row] = tokens_of(entry)
        self.size[row] = size_of(entry)

    def enter_many(
        self,
        first: int,
        buckets: Sequence[int],
        entries: Sequence[Entry],
        stats: Sequence[EntryStats | None],
    ) -> None:
        """Fill rows side by side with the usage of entries, each of its bucket."""
        rows = slice(first, first + len(entries))
        both = list(zip(entries, stats, strict=True))
        self.bucket[rows] = buckets
        self.hits[rows] = [0 if used is None else used.hits for _, used in both]
        self.last[rows] = [entry.id if used is None else used.last_offset for entry, used in both]
        self.value[rows] = [entry.value if used is None else used.value for entry, used in both]
        self.latency[rows] = [latency_of(entry) for entry in entries]
        self.tokens[rows] = [tokens_of(entry) for entry in entries]
        self.size[rows] = [size_of(entry) for entry in entries]

    def leave(self, row: int) -> None:
        """Free a row."""
        self.bucket[row] = self.placed[row] = NOWHERE

    def cost(self, kind: str) -> npt.NDArray[np.int32]:
        """Cost column: what a hit saves, in the unit that the policy names."""
        return self.tokens if kind == "tokens" else self.latency
