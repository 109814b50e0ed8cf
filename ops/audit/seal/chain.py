"""Rolling digest of a log: each link covers one record and the link before it.

    content  = blake2b-256 of    timestamp_ms (8 bytes) | key | value | count of headers (4) | name | value | ...
    link     = blake2b-256 of    the link before (32) | offset (8) | content (32)

Numbers are signed and big-endian. A key, a value and a name stand behind their length (4 bytes), -1 for null; the count
of headers that cannot be read is -1. The link before the first is `start`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import NamedTuple

from refrain.streams.kafka.interface import Record

DIGEST_BYTES = 32
PRINT_BYTES = 4
"""What is kept of each record's content digest: enough to find it again, and no proof."""

_LONG = struct.Struct(">q")
_INT = struct.Struct(">i")


class Place(NamedTuple):
    """A record of a log: where it stands, and the print (`PRINT_BYTES`) of its content."""

    offset: int
    print: bytes


class Digested(NamedTuple):
    """A record of a log: where it stands, and the digest of its content."""

    offset: int
    content: bytes

    @property
    def place(self) -> Place:
        """The record with its print alone."""
        return Place(self.offset, self.content[:PRINT_BYTES])


def start(topic: str, partition: int) -> bytes:
    """The link before the first record of a partition."""
    return hashlib.blake2b(f"refrain.seal.1/{topic}/{partition}".encode(), digest_size=DIGEST_BYTES).digest()


def digested(record: Record) -> Digested:
    """The record's offset, and the digest of all else that stands in the log of it."""
    parts = [_LONG.pack(record.timestamp_ms), *_bytes(record.key), *_bytes(record.value)]
    parts.append(_INT.pack(-1 if record.headers_unreadable else len(record.headers)))
    for name, value in record.headers:
        parts += (*_bytes(name.encode("utf-8", "surrogatepass")), *_bytes(value))
    return Digested(record.offset, hashlib.blake2b(b"".join(parts), digest_size=DIGEST_BYTES).digest())


def link(before: bytes, record: Digested) -> bytes:
    """The next link of the chain."""
    return hashlib.blake2b(before + _LONG.pack(record.offset) + record.content, digest_size=DIGEST_BYTES).digest()


def chained(before: bytes, records: Iterable[Digested]) -> bytes:
    """The link after all of the records."""
    for record in records:
        before = link(before, record)
    return before


def _bytes(data: bytes | None) -> tuple[bytes, bytes]:
    return (_INT.pack(-1), b"") if data is None else (_INT.pack(len(data)), data)
