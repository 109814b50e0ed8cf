"""The local store of a shard, restored from its changelog `documents`: a sorted map with a checkpoint.

`MemoryStore` is the twin of `RocksStore`; both pass the same contract tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

Changes = Mapping[bytes, bytes | None]
"""Values by key; None deletes."""


class Checkpoint(NamedTuple):
    """How much of the changelog a store holds: the next offset of its `documents` partition, and when it was set."""

    next_offset: int
    written_at_ms: int


class Store(Protocol):
    """A sorted key-value store, written in atomic batches."""

    @property
    def folder(self) -> Path | None:
        """Where it lies on the disk, None in memory: files of the process that belong to it go there too."""

    def get(self, key: bytes) -> bytes | None: ...
    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Write all changes and the checkpoint, or none."""

    def fill(self, rows: Iterable[tuple[bytes, bytes]], checkpoint: Checkpoint) -> None:
        """Fill an empty store with rows in the order of their keys, each key once, then write the checkpoint.

        Where `rows` raises, or the process ends, its checkpoint is still 0.
        """

    def checkpoint(self) -> Checkpoint:
        """The checkpoint of the last write; offset 0 of a store that holds nothing."""

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Iterate over keys with the prefix and their values, in the order of keys."""

    def wipe(self) -> None:
        """Delete everything, the checkpoint too."""

    def close(self) -> None: ...


def digest(rows: Iterator[tuple[bytes, bytes]]) -> str:
    """Digest (hex) of keys and values in order: stores of the same content have the same one."""
    running = hashlib.blake2b(digest_size=16)
    for key, value in rows:
        running.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
    return running.hexdigest()
