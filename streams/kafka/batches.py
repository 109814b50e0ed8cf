"""Kafka's batches as they lie on the broker: which offsets they take, and whether a client can read them.

A broker looks at what it is given less closely than a client reads it: it takes lengths below -1, lengths of records in
compressed batches that are wrong, offsets that are not the batch's own, and what grows by a factor of ten thousand.
librdkafka reads none of what comes behind such a batch, and mostly does not say so.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cramjam

HEADER = struct.Struct(">qiibIhiqqqhii")
"""First offset, length, epoch of the leader, format, checksum, attributes, last offset, first and last time, producer,
its epoch, first sequence number, number of records."""
LENGTH_FROM = 12
"""The length counts what comes behind it."""
FORMAT = 2
CODECS, TRANSACTIONAL, CONTROL = 0x07, 0x10, 0x20
PLAIN_BYTES_MAX = 64_000_000
"""The largest batch that is read, decompressed."""
RECORDS_MAX = 100_000
"""The most records of a batch that is read."""
XERIAL = b"\x82SNAPPY\x00"
XERIAL_HEADER_BYTES = 16
_BAD = (ValueError, IndexError, OverflowError, struct.error, zlib.error, cramjam.DecompressionError)


class Batch(NamedTuple):
    """A batch: its offsets, and what it holds as it lies on the broker."""

    first: int
    last: int
    timestamp_ms: int
    attributes: int
    producer: int
    records: int
    payload: memoryview

    @property
    def is_control(self) -> bool:
        """Whether it is the end of a transaction, which no client hands out."""
        return bool(self.attributes & CONTROL)


class Unsound(ValueError):
    """A batch that cannot be read; the text says what is wrong with it and quotes nothing."""


def batches_in(data: bytes | bytearray) -> Iterator[Batch]:
    """The whole batches of what a broker sent of a partition; the last one may be cut and is left out."""
    view, at = memoryview(data), 0
    while at + HEADER.size <= len(view):
        (
            first, length, _, form, _, attributes, last, _, timestamp_ms, producer, _, _, count,
        ) = HEADER.unpack_from(view, at)  # fmt: skip
        end = at + LENGTH_FROM + length
        if form != FORMAT or length < HEADER.size - LENGTH_FROM or end > len(view):
            return
        yield Batch(first, first + last, timestamp_ms, attributes, producer, count, view[at + HEADER.size : end])
        at = end


def committed(batches: Iterable[Batch], aborted: Iterable[tuple[int, int]]) -> Iterator[Batch]:
    """The batches that clients hand out: neither ends of transactions, nor what belongs to one that was aborted.

    `aborted` are the producers of such transactions, and the first offset of each, as a broker tells them.
    """
    begun = deque(sorted(aborted, key=lambda each: each[1]))
    open_: set[int] = set()
    for batch in batches:
        while begun and begun[0][1] <= batch.first:
            open_.add(begun.popleft()[0])
        if batch.is_control:
            # An end of a transaction of its producer, whichever it is.
            open_.discard(batch.producer)
        elif not (batch.attributes & TRANSACTIONAL and batch.producer in open_):
            yield batch


def flaw_of(batch: Batch) -> str | None:
    """Why a client cannot read the batch, or not as it stands; None where it can."""
    if batch.is_control:
        return None
    if batch.records > RECORDS_MAX:
        return f"it has {batch.records} records: {RECORDS_MAX} are read"
    try:
        _walk(plain_of(batch.payload, batch.attributes & CODECS), batch)
    except Unsound as flaw:
        return str(flaw)
    except _BAD:
        return "its records cannot be told apart"
    return None


def told_of(first: int, last: int, flaw: str) -> str:
    """What is said of a batch that cannot be read, wherever it is set aside."""
    return f"the batch of offsets {first} to {last} cannot be read: {flaw}"


def plain_of(payload: bytes | memoryview, codec: int) -> bytes:
    """The records of a batch, decompressed. Raises Unsound where they are too large, or are no such data."""
    if codec == 0:
        return bytes(payload)
    if codec not in _DECOMPRESSED:
        raise Unsound("its compression is not known")
    try:
        return _DECOMPRESSED[codec](bytes(payload))
    except Unsound:
        raise
    except _BAD:
        raise Unsound(f"it cannot be decompressed to at most {PLAIN_BYTES_MAX} bytes") from None


def _gunzipped(data: bytes) -> bytes:
    stream = zlib.decompressobj(31)
    plain = stream.decompress(data, PLAIN_BYTES_MAX)
    if not stream.eof:
        raise ValueError
    return plain


def _unsnapped(data: bytes) -> bytes:
    if not data.startswith(XERIAL):
        return _snappy_block(data, PLAIN_BYTES_MAX)
    plain, at = bytearray(), XERIAL_HEADER_BYTES
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        if size <= 0 or at + 4 + size > len(data):
            raise ValueError
        plain += _snappy_block(data[at + 4 : at + 4 + size], PLAIN_BYTES_MAX - len(plain))
        at += 4 + size
    return bytes(plain)


def _snappy_block(data: bytes, bytes_max: int) -> bytes:
    # It begins with its plain size, which would be made room for.
    size, shift = 0, 0
    for byte in data[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > bytes_max:
        raise ValueError
    return bytes(cramjam.snappy.decompress_raw(data))


def _into(decompress: Callable[..., int]) -> Callable[[bytes], bytes]:
    def plain(data: bytes) -> bytes:
        # Room that is not written to takes neither memory nor time.
        with mmap.mmap(-1, PLAIN_BYTES_MAX + 1) as room:
            size = decompress(data, room)
            if size > PLAIN_BYTES_MAX:
                raise ValueError
            return room[:size]

    return plain


_DECOMPRESSED: dict[int, Callable[[bytes], bytes]] = {
    1: _gunzipped,
    2: _unsnapped,
    3: _into(cramjam.lz4.decompress_into),
    4: _into(cramjam.zstd.decompress_into),
}


def _walk(plain: bytes, batch: Batch) -> None:
    """Go through the records as a client does. Raises Unsound, ValueError, IndexError."""
    at, before = 0, -1
    for _ in range(batch.records):
        length, at = _varint(plain, at)
        end = at + length
        if length <= 0 or end > len(plain):
            raise Unsound("a record is longer than its batch")
        _, at = _varint(plain, at + 1)
        delta, at = _varint(plain, at)
        if not before < delta <= batch.last - batch.first:
            raise Unsound("an offset is not one of the batch, or stands there twice")
        before = delta
        for _ in ("key", "value"):
            size, at = _varint(plain, at)
            if size < -1:
                raise Unsound("a key or value has a length below nothing")
            at += max(0, size)
        if at >= end:
            raise Unsound("a key or value is longer than its record")
        at = end
    if at != len(plain):
        raise Unsound("something stands behind its records")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift > 63:
            raise ValueError
