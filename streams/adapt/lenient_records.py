"""Reads batches of aiokafka, on which Faust runs, whatever an outsider wrote.

aiokafka decodes names of headers strictly, and decompresses without a bound: what it cannot read ends its consumer, at
every start again. A batch that cannot be read is one record here, at its last offset, with nothing but a flaw.
"""

from __future__ import annotations

import logging
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import decode_varint

from refrain.streams.kafka.batches import batches_in, flaw_of, plain_of, told_of

UNREADABLE = ("refrain.headers.unreadable", b"")
"""What such a record has in place of its headers."""
BATCH_MAGIC = 2
"""From this format on records have headers."""

logger = logging.getLogger(__name__)


class Flaw(str):
    """The name of a header that says why a record stands for a batch that cannot be read: no outsider's is of it."""

    __slots__ = ()


class LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc] # aiokafka has no types
    """A batch whose records lose their headers where these cannot be read, and which is one record where it cannot."""

    _pos: int
    _buffer: bytearray
    _decompressed: bool
    _next_record_index: int
    _flaw: str | None = None

    def _maybe_uncompress(self) -> None:
        if self._decompressed:
            return
        (batch,) = batches_in(self._buffer)
        self._flaw = flaw_of(batch)
        if self._flaw is None and self.compression_type:
            self._buffer, self._pos = bytearray(plain_of(batch.payload, self.compression_type)), 0
        self._decompressed = True

    def __next__(self) -> Any:
        if self._flaw is None:
            return super().__next__()
        if self._next_record_index:
            raise StopIteration
        self._next_record_index = 1
        last = self.base_offset + self.last_offset_delta
        told = told_of(self.base_offset, last, self._flaw)
        return _DefaultRecordPy(last, self.max_timestamp, self.timestamp_type, None, None, [(Flaw(told), b"")])

    def _read_msg(self) -> Any:
        start = self._pos
        try:
            return super()._read_msg()
        except (UnicodeDecodeError, CorruptRecordException, ValueError, IndexError):
            self._pos = start
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
