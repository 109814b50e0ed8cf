"""What a shard keeps on disk: keys to values, and how far in `documents` they reach.

`MemoryStore` is the twin of `rocks_store.RocksStore`; both pass the same contract tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

Changes = Mapping[bytes, bytes | None]
"""Values by key; None deletes."""


class Reach(NamedTuple):
    """How far a store reaches: the next offset of its `documents` partition, and when that was written."""

    next_offset: int
    written_at_ms: int


class Store(Protocol):
    """A sorted map that is written in whole batches."""

    def get(self, key: bytes) -> bytes | None: ...
    def write(self, changes: Changes, reach: Reach) -> None:
        """All changes and the reach, or none."""

    def reach(self) -> Reach: ...
    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and values in the order of keys."""

    def wipe(self) -> None:
        """Forget everything."""

    def close(self) -> None: ...


class MemoryStore:
    """A store in a dictionary."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._reach = Reach(0, 0)

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def write(self, changes: Changes, reach: Reach) -> None:
        for key, value in changes.items():
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value
        self._reach = reach

    def reach(self) -> Reach:
        return self._reach

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self._rows):
            if key.startswith(prefix):
                yield key, self._rows[key]

    def wipe(self) -> None:
        self._rows.clear()
        self._reach = Reach(0, 0)

    def close(self) -> None:
        pass


def digest(rows: Iterator[tuple[bytes, bytes]]) -> str:
    """A digest of keys and values in order, hex: two stores that hold the same have the same."""
    running = hashlib.blake2b(digest_size=16)
    for key, value in rows:
        running.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
    return running.hexdigest()
