"""Rows of a store as a file: blocks, each its length (4 bytes, big-endian) and a zstd frame of so many bytes.

In a frame stand keys and values in order, each behind its length (4 bytes, big-endian): `digest` is taken of the same
bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from cramjam import DecompressionError, zstd

from refrain.streams.errors import SnapshotUnusable

Row = tuple[bytes, bytes]
BLOCK_BYTES = 1 << 20
"""Rows are gathered to so many bytes; one row may have more."""
BLOCK_BYTES_MAX = 1 << 28
LEVEL = 3
_SIZE = 4


class RowsWritten:
    """What was written: how many rows, and the digest of the state that they are."""

    def __init__(self) -> None:
        self.count = 0
        self._running = hashlib.blake2b(digest_size=16)

    @property
    def state(self) -> str:
        """Digest (hex) of the rows so far: that of a store that holds them."""
        return self._running.hexdigest()

    def blocks(self, rows: Iterable[Row]) -> Iterator[bytes]:
        """The blocks of rows that come in the order of their keys."""
        gathered = bytearray()
        for key, value in rows:
            gathered += len(key).to_bytes(_SIZE, "big") + key + len(value).to_bytes(_SIZE, "big") + value
            self.count += 1
            if len(gathered) >= BLOCK_BYTES:
                yield self._block(bytes(gathered))
                gathered.clear()
        if gathered:
            yield self._block(bytes(gathered))

    def _block(self, data: bytes) -> bytes:
        self._running.update(data)
        frame = bytes(zstd.compress(data, level=LEVEL))
        return len(frame).to_bytes(_SIZE, "big") + frame


def read_blocks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The content of each block; `read` gives so many bytes, fewer only at the end.

    Raises SnapshotUnusable where the file is cut off or damaged.
    """
    while size := read(_SIZE):
        length = int.from_bytes(size, "big")
        if len(size) < _SIZE or length > BLOCK_BYTES_MAX:
            raise SnapshotUnusable("a block of rows is cut off or damaged")
        frame = read(length)
        if len(frame) < length:
            raise SnapshotUnusable("the rows are cut off")
        try:
            yield bytes(zstd.decompress(frame))
        except DecompressionError as error:
            raise SnapshotUnusable("a block of rows is damaged") from error


def rows_of(block: bytes) -> Iterator[Row]:
    """The rows of a block. Raises SnapshotUnusable where they do not fill it."""
    at, end = 0, len(block)
    while at < end:
        key_at = at + _SIZE
        value_at = key_at + int.from_bytes(block[at:key_at], "big") + _SIZE
        at = value_at + int.from_bytes(block[value_at - _SIZE : value_at], "big")
        if at > end:
            raise SnapshotUnusable("a block of rows is damaged")
        yield block[key_at : value_at - _SIZE], block[value_at:at]
