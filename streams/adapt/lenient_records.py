"""Reads batches of aiokafka, on which Faust runs, whatever the names of their headers are.

aiokafka decodes names strictly, and one that is not UTF-8 ends its consumer, at every start again.
"""

from __future__ import annotations

import logging
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import decode_varint

UNREADABLE = ("refrain.headers.unreadable", b"")
"""What such a record has in place of its headers."""
BATCH_MAGIC = 2
"""From this format on records have headers."""

logger = logging.getLogger(__name__)


class LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc] # aiokafka has no types
    """A batch whose records lose their headers where these cannot be read."""

    _pos: int

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            return self._read_without_headers()

    def _read_without_headers(self) -> Any:
        """The record at the position: it is read again from there, and what follows its value is skipped."""
        length, start = decode_varint(self._buffer, self._pos)
        _attributes, at = decode_varint(self._buffer, start)
        since_first_ms, at = decode_varint(self._buffer, at)
        number, at = decode_varint(self._buffer, at)
        key, at = self._bytes_at(at)
        value, _ = self._bytes_at(at)
        self._pos = start + length
        appended = self.timestamp_type == self.LOG_APPEND_TIME
        stamp_ms = self.max_timestamp if appended else self.first_timestamp + since_first_ms
        return _DefaultRecordPy(self.base_offset + number, stamp_ms, self.timestamp_type, key, value, [UNREADABLE])

    def _bytes_at(self, at: int) -> tuple[bytes | None, int]:
        size, at = decode_varint(self._buffer, at)
        return (None, at) if size < 0 else (bytes(self._buffer[at : at + size]), at + size)


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc] # aiokafka has no types
    """What a fetch brought, as lenient batches."""

    def next_batch(self, *_: Any) -> Any:
        batch = self._next_slice
        if batch is None or len(batch) < self.MIN_SLICE or batch[self.MAGIC_OFFSET] < BATCH_MAGIC:
            return super().next_batch()
        self._cache_next()
        return LenientBatch(batch)


def read_leniently() -> None:
    """Have every consumer of aiokafka in this process read leniently."""
    fetcher.MemoryRecords = LenientRecords
