"""The in-memory store: for tests, and for folding without a disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refrain.streams.store.interface import Changes, Checkpoint


class MemoryStore:
    """A store in memory; nothing of it outlives the object."""

    folder = None

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._checkpoint = Checkpoint(0, 0)

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        for key, value in changes.items():
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value
        self._checkpoint = checkpoint

    def fill(self, rows: Iterable[tuple[bytes, bytes]], checkpoint: Checkpoint) -> None:
        self.write(dict(rows), checkpoint)

    def checkpoint(self) -> Checkpoint:
        return self._checkpoint

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self._rows):
            if key.startswith(prefix):
                yield key, self._rows[key]

    def wipe(self) -> None:
        self._rows.clear()
        self._checkpoint = Checkpoint(0, 0)

    def close(self) -> None:
        pass
