"""Rows by number and by text: as a dictionary would hold them, in a tenth of the memory.

Numbers of entries only grow, so a sorted array finds them; digests of texts are found by hashing into an open table.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from operator import ge

import numpy as np
import numpy.typing as npt

GONE = -1
"""The row of a number that has left."""
SLACK = 64
KEY_BYTES = 16
SLOTS_AT_FIRST = 64
EMPTY, LEFT = -1, -2
"""Slots without a row: one that never had any ends a search, one that a row has left does not."""

_NO_ROWS: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)


class RowsById:
    """The row of each entry by its id."""

    def __init__(self) -> None:
        self._ids = array("q")
        self._rows = array("i")
        self._alive = 0

    def __len__(self) -> int:
        return self._alive

    def get(self, id_: int) -> int | None:
        """The row of an id, None without one."""
        place = bisect_left(self._ids, id_)
        if place == len(self._ids) or self._ids[place] != id_ or self._rows[place] == GONE:
            return None
        return self._rows[place]

    def put(self, id_: int, row: int) -> None:
        """Enter an id; quickest for one above all others."""
        place = len(self._ids)
        if place and self._ids[-1] >= id_:
            place = bisect_left(self._ids, id_)
            if self._ids[place] == id_:
                self._alive += self._rows[place] == GONE
                self._rows[place] = row
                return
        self._ids.insert(place, id_)
        self._rows.insert(place, row)
        self._alive += 1

    def put_many(self, ids: Sequence[int], first_row: int) -> None:
        """Enter ids that rise, under rows side by side. Raises ValueError where one is not above all before it."""
        if (self._ids and ids and ids[0] <= self._ids[-1]) or any(map(ge, ids, ids[1:])):
            raise ValueError("ids must rise")
        self._ids.extend(ids)
        self._rows.extend(range(first_row, first_row + len(ids)))
        self._alive += len(ids)

    def drop(self, id_: int) -> None:
        """Remove an id. Raises KeyError for one that is not there."""
        if self.get(id_) is None:
            raise KeyError(id_)
        self._rows[bisect_left(self._ids, id_)] = GONE
        self._alive -= 1
        if len(self._ids) > 2 * self._alive + SLACK:
            kept = [(id_, row) for id_, row in zip(self._ids, self._rows, strict=True) if row != GONE]
            self._ids = array("q", [id_ for id_, _ in kept])
            self._rows = array("i", [row for _, row in kept])


class RowsByText:
    """The rows of each text by its digest (16 bytes): linear probing over slots of row numbers."""

    def __init__(self) -> None:
        self._keys = bytearray()
        """The digest of each row, one behind the other."""
        self._slots: npt.NDArray[np.int32] = np.full(SLOTS_AT_FIRST, EMPTY, dtype=np.int32)
        self._mask = SLOTS_AT_FIRST - 1
        self._alive = 0
        self._taken = 0
        """Slots that are not empty."""

    def rows(self, key: bytes) -> list[int]:
        """All rows of a digest, in no order."""
        found: list[int] = []
        slot = self._home(key)
        while (row := self._slots.item(slot)) != EMPTY:
            if row >= 0 and self._keys[row * KEY_BYTES : (row + 1) * KEY_BYTES] == key:
                found.append(row)
            slot = (slot + 1) & self._mask
        return found

    def add(self, key: bytes, row: int) -> None:
        """Enter a row that has no digest yet."""
        if len(self._keys) < (row + 1) * KEY_BYTES:
            self._keys.extend(bytes((row + 1) * KEY_BYTES - len(self._keys)))
        self._keys[row * KEY_BYTES : (row + 1) * KEY_BYTES] = key
        slot = self._home(key)
        while (taken := self._slots.item(slot)) >= 0:
            slot = (slot + 1) & self._mask
        self._slots[slot] = row
        self._alive += 1
        self._taken += taken == EMPTY
        if 3 * self._taken > 2 * len(self._slots):
            self._spread()

    def add_many(self, keys: Sequence[bytes], first_row: int) -> None:
        """Enter rows side by side that have no digest yet and lie behind all others, each with its own."""
        self._keys.extend(bytes(first_row * KEY_BYTES - len(self._keys)))
        self._keys += b"".join(keys)
        self._alive += len(keys)
        # Slots that a row has left may be taken as well: then fewer are than is counted here.
        self._taken += len(keys)
        rows = np.arange(first_row, first_row + len(keys), dtype=np.int32)
        if 3 * self._taken > 2 * len(self._slots):
            self._spread(rows)
        else:
            self._put(rows)

    def remove(self, key: bytes, row: int) -> None:
        """Remove a row. Raises KeyError for one that is not there under this digest."""
        slot = self._home(key)
        while (taken := self._slots.item(slot)) != row:
            if taken == EMPTY:
                raise KeyError(row)
            slot = (slot + 1) & self._mask
        self._slots[slot] = LEFT
        self._alive -= 1

    def _home(self, key: bytes) -> int:
        return int.from_bytes(key[:8], "little") & self._mask

    def _spread(self, more: npt.NDArray[np.int32] = _NO_ROWS) -> None:
        """Enter all rows anew, and `more`, into as many more slots as leave a third of them empty."""
        rows = np.concatenate((self._slots[self._slots >= 0], more))
        size = len(self._slots)
        while 3 * self._alive > size:
            size *= 2
        self._slots, self._mask = np.full(size, EMPTY, dtype=np.int32), size - 1
        self._put(rows)
        self._taken = self._alive

    def _put(self, rows: npt.NDArray[np.int32]) -> None:
        """Put rows, whose digests are known, into slots."""
        heads = np.frombuffer(self._keys, dtype="<u8")[::2]
        slots = (heads[rows] & np.uint64(self._mask)).astype(np.int64)
        # The digests cannot grow while somebody looks at them.
        del heads
        while len(rows):
            free = self._slots[slots] < 0
            self._slots[slots[free]] = rows[free]
            # Of several that wanted one slot the last has it.
            rest = self._slots[slots] != rows
            rows, slots = rows[rest], (slots[rest] + 1) & self._mask
