"""What a shard keeps on disk: keys to values, and how far in `documents` they reach.

`MemoryStore` is the twin of `rocks_store.RocksStore`; both pass the same contract tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

Changes = Mapping[bytes, bytes | None]
"""Values by key; None deletes."""


class Checkpoint(NamedTuple):
    """How far a store reaches: the next offset of its `documents` partition, and when that was written."""

    next_offset: int
    written_at_ms: int


class Store(Protocol):
    """A sorted map that is written in whole batches."""

    def get(self, key: bytes) -> bytes | None: ...
    def write(self, changes: Changes, reach: Checkpoint) -> None:
        """All changes and the reach, or none."""

    def reach(self) -> Checkpoint: ...
    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and values in the order of keys."""

    def wipe(self) -> None:
        """Forget everything."""

    def close(self) -> None: ...


def digest(rows: Iterator[tuple[bytes, bytes]]) -> str:
    """A digest of keys and values in order, hex: two stores that hold the same have the same."""
    running = hashlib.blake2b(digest_size=16)
    for key, value in rows:
        running.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
    return running.hexdigest()
