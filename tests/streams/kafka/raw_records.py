"""Records as an outsider may write them: any bytes as names of headers, any compression. Without a broker.

librdkafka brings a broker of its own for tests, which lives in the process of a producer and takes Kafka's protocol.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Producer

NOW_MS = 1_700_000_000_000
GZIP = cast(int, DefaultRecordBatch.CODEC_GZIP)
LZ4 = cast(int, DefaultRecordBatch.CODEC_LZ4)
_PRODUCE, _VERSION, _TIMEOUT_MS = 0, 7, 5_000


class Raw(NamedTuple):
    """A record with names of headers as bytes."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[bytes, bytes | None]] = ()


class _Name(str):
    """A name whose bytes are what they are given as."""

    raw: bytes

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


def batch_of(records: Sequence[Raw], compression: int = 0, *, at_ms: int = NOW_MS) -> bytes:
    """The records as one batch of Kafka's format, all of one time."""
    builder: Any = _DefaultRecordBatchBuilderPy(
        magic=2, compression_type=compression, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 30,
    )  # fmt: skip
    for number, record in enumerate(records):
        named = [(_named(name), value) for name, value in record.headers]
        assert builder.append(number, at_ms, record.key, record.value, named) is not None
    return bytes(builder.build())


def varint(number: int) -> bytes:
    """A number as records have it."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def odd_record(
    delta: int = 0, *, key_length: int = 1, value: bytes = b"v", value_length: int | None = None, longer: int = 0
) -> bytes:
    """A record whose parts need not fit: lengths that are told, and what the record is longer than it says."""
    key = b"k" * max(0, key_length)
    told = len(value) if value_length is None else value_length
    body = b"\x00" + varint(0) + varint(delta) + varint(key_length) + key + varint(told) + value + varint(0)
    return varint(len(body) + longer) + body


def odd_batch(records: bytes, count: int = 1, codec: int = 0, *, last: int | None = None, attributes: int = 0) -> bytes:
    """A batch of records as they are given, whose header says what it is told to; `codec` is that of `records`."""
    rest = struct.pack(
        ">hiqqqhii", codec | attributes, count - 1 if last is None else last, NOW_MS, NOW_MS, -1, -1, -1, count
    )
    rest += records
    return struct.pack(">qi", 0, 9 + len(rest)) + struct.pack(">ibI", -1, 2, calc_crc32c(rest)) + rest


@contextmanager
def broker_of(topic: str) -> Iterator[str]:
    """The address of a broker in this process, with a topic."""
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    metadata = producer.list_topics(topic, timeout=20)
    (broker,) = metadata.brokers.values()
    yield f"{broker.host}:{broker.port}"
    producer.flush(1)


class NotTaken(Exception):
    """The broker did not take a batch; `code` is Kafka's."""

    def __init__(self, topic: str, code: int) -> None:
        super().__init__(f"{topic}: the broker says {code}")
        self.code = code


def produce(address: str, topic: str, batch: bytes, partition: int = 0) -> int:
    """Write a batch to a partition; the offset of its first record. Raises NotTaken."""
    host, _, port = address.rpartition(":")
    data = struct.pack(">hhi", -1, -1, _TIMEOUT_MS) + struct.pack(">i", 1) + _text(topic)
    data += struct.pack(">iii", 1, partition, len(batch)) + batch
    request = struct.pack(">hhi", _PRODUCE, _VERSION, 1) + _text("outsider") + data
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = _received(connection, struct.unpack(">i", _received(connection, 4))[0])
    error, offset = struct.unpack_from(">hq", answer, 4 + 4 + len(_text(topic)) + 4 + 4)
    if error != 0:
        raise NotTaken(topic, error)
    return int(offset)


def _named(name: bytes) -> _Name:
    named = _Name("x")
    named.raw = name
    return named


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the broker closed the connection"
        data += part
    return data
