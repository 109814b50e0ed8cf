"""Batches that no client can read: what a broker takes of an outsider, and what it refuses."""

from __future__ import annotations

import gzip

import cramjam

from tests.streams.kafka.raw_records import GZIP, LZ4, odd_batch, odd_record, varint

SNAPPY, ZSTD = 2, 4


def zipped(plain: bytes, codec: int) -> bytes:
    if codec == GZIP:
        return gzip.compress(plain)
    if codec == SNAPPY:
        return bytes(cramjam.snappy.compress_raw(plain))
    return bytes((cramjam.lz4 if codec == LZ4 else cramjam.zstd).compress(plain))


def bomb(size: int, codec: int) -> bytes:
    """A batch of one record of so many zeros."""
    head = b"\x00" + varint(0) + varint(0) + varint(-1) + varint(size)
    return odd_batch(zipped(varint(len(head) + size + 1) + head + bytes(size + 1), codec), 1, codec)


TAKEN = {
    "a key of length -2": odd_batch(odd_record(key_length=-2)),
    "a key of the least length": odd_batch(odd_record(key_length=-(2**31))),
    "a value of length -2": odd_batch(odd_record(value=b"", value_length=-2)),
    "a value of length -2, compressed": odd_batch(zipped(odd_record(value=b"", value_length=-2), GZIP), 1, GZIP),
    "the second of three": odd_batch(odd_record() + odd_record(1, key_length=-2) + odd_record(2), 3),
    "a record that is too short": odd_batch(zipped(odd_record(longer=-3), GZIP), 1, GZIP),
    "zstd of 100 MB": bomb(100_000_000, ZSTD),
    "an offset beyond the batch": odd_batch(odd_record(5)),
    "an offset far beyond": odd_batch(odd_record(2**30)),
    "an offset twice": odd_batch(odd_record() + odd_record(), 2),
    "offsets backwards": odd_batch(odd_record(1) + odd_record(0), 2),
}
"""What a broker of Kafka takes."""
REFUSED = {
    "a value beyond its record": odd_batch(odd_record(value_length=500)),
    "a record that is too long": odd_batch(zipped(odd_record(longer=300), LZ4), 1, LZ4),
    "bytes behind the records": odd_batch(zipped(odd_record() + b"junk", ZSTD), 1, ZSTD),
    "fewer records than are told": odd_batch(odd_record(), 3),
    "no gzip": odd_batch(b"junk", 1, GZIP),
    "half of a gzip": odd_batch(gzip.compress(odd_record())[:-9], 1, GZIP),
    "no snappy": odd_batch(b"junk", 1, SNAPPY),
    "snappy that promises too much": odd_batch(b"\xff\xff\xff\xff\x0f\x00", 1, SNAPPY),
    "no lz4": odd_batch(b"junk", 1, LZ4),
    "no zstd": odd_batch(b"junk", 1, ZSTD),
    "no codec": odd_batch(odd_record(), 1, 5),
    "an offset below the batch": odd_batch(odd_record(-3)),
}
"""What it refuses, or the client leaves out."""
