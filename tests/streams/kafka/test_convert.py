"""What librdkafka reads becomes records, whatever an outsider put into their headers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from refrain.streams.kafka.config import connection
from refrain.streams.kafka.consumer import KafkaConsumer
from refrain.streams.kafka.interface import HEADER_BYTES, Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.outages import Outages
from refrain.streams.settings import Settings
from tests.streams.kafka.raw_records import GZIP, Raw, batch_of, broker_of, produce

TOPIC = "requests"


@pytest.fixture
def address() -> Iterator[str]:
    with broker_of(TOPIC) as found:
        yield found


def read_all(address: str, count: int) -> list[Record]:
    settings = Settings(kafka=address, prefix="")
    consumer = KafkaConsumer(connection(settings), settings, TOPIC, "g", None, from_start=True, outages=Outages())
    found: list[Record] = []
    for _ in range(200):
        found += consumer.poll(100, 0.1)
        if len(found) >= count:
            break
    consumer.close()
    return found


def test_a_record_whose_headers_cannot_be_read_is_handed_over_and_costs_no_other(address: str) -> None:
    raws = [
        Raw(b"a", b"1", [(b"name", b"x"), (b"none", None)]),
        Raw(b"b", b"2", [(b"\xff\xfe", b"x")]),
        Raw(b"c", b"3", [(b"good", b"x"), (b"\xc3", b"x")]),
        Raw(None, None, [("ä".encode(), b"\xff"), (b"", b"")]),
    ]
    produce(address, TOPIC, batch_of(raws))
    found = read_all(address, 4)
    assert [(each.key, each.value) for each in found] == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (None, None)]
    assert [each.headers for each in found] == [
        (("name", b"x"), ("none", None)), (), (), (("ä", b"\xff"), ("", b"")),
    ]  # fmt: skip
    assert [each.headers_unreadable for each in found] == [False, True, True, False]


def test_headers_that_cannot_be_read_are_as_harmless_the_thousandth_time(address: str) -> None:
    """Calls that are made often take another way through the interpreter."""
    produce(address, TOPIC, batch_of([Raw(b"%d" % n, None, [(b"\xc3", None)]) for n in range(1_000)]))
    found = read_all(address, 1_000)
    assert [each.key for each in found] == [b"%d" % n for n in range(1_000)]
    assert all(each.headers_unreadable and each.headers == () for each in found)


def test_what_was_compressed_counts_by_its_plain_size(address: str) -> None:
    raws = [Raw(b"k", b"x" * 3_000_000), Raw(None, b"", [(b"", b"")] * 65_000)]
    batch = batch_of(raws, GZIP)
    assert len(batch) < 20_000
    produce(address, TOPIC, batch)
    large, crowded = read_all(address, 2)
    assert large.plain_bytes == 3_000_001
    assert crowded.plain_bytes == 65_000 * HEADER_BYTES


def test_the_twin_in_memory_reads_such_names_alike() -> None:
    cluster = MemoryCluster(lambda: 0, {TOPIC: 1})
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    cluster.append([Outgoing(TOPIC, b"a", b"1", ((name, b"x"),)), Outgoing(TOPIC, b"b", b"2", (("ä", b"x"),))])
    assert [(each.headers, each.headers_unreadable) for each in cluster.consumer(TOPIC, "g").poll(9, 0)] == [
        ((), True),
        ((("ä", b"x"),), False),
    ]
