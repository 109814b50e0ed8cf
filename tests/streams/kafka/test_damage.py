"""Batches that a broker takes and that no client can read cost themselves alone: what is behind them is read."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from typing import cast

import pytest

from refrain.streams.errors import Refusal
from refrain.streams.kafka.batches import PLAIN_BYTES_MAX, RECORDS_MAX, batches_in, flaw_of
from refrain.streams.kafka.config import connection
from refrain.streams.kafka.consumer import KafkaConsumer
from refrain.streams.kafka.damage import Damage, Sifted, first_odd
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.outages import Outages
from refrain.streams.kafka.raw_fetch import Fetched
from refrain.streams.messaging.decoding import check_size
from refrain.streams.settings import Settings
from tests.streams.kafka.odd_batches import REFUSED, SNAPPY, TAKEN, ZSTD, bomb
from tests.streams.kafka.raw_records import (
    GZIP,
    LZ4,
    Raw,
    batch_of,
    broker_of,
    odd_batch,
    odd_record,
    produce,
)

TOPIC = "requests"
GOOD = batch_of([Raw(b"k", b"good")])


@pytest.fixture
def address() -> Iterator[str]:
    with broker_of(TOPIC) as found:
        yield found


def consumer_of(address: str) -> KafkaConsumer:
    settings = Settings(kafka=address, prefix="")
    return KafkaConsumer(connection(settings), settings, TOPIC, "g", None, from_start=True, outages=Outages())


def read(address: str, last: bytes) -> list[Record]:
    """All that is handed out up to a value."""
    consumer = consumer_of(address)
    found: list[Record] = []
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s and not any(each.value == last for each in found):
        found += consumer.poll(100, 0.05)
    consumer.close()
    return found


def test_a_batch_that_cannot_be_read_is_told_once_and_hides_nothing_behind_it(address: str) -> None:
    ends: dict[int, str] = {}
    for number, (name, data) in enumerate(TAKEN.items()):
        produce(address, TOPIC, batch_of([Raw(b"k", b"%d" % number)]))
        (batch,) = batches_in(data)
        ends[produce(address, TOPIC, data) + batch.last] = name
    produce(address, TOPIC, GOOD)
    found = read(address, b"good")
    odd = [each for each in found if each.flaw is not None]
    assert [ends[each.offset] for each in odd] == list(TAKEN)
    # Of one the client hands out the record before the odd one.
    values = [each.value for each in found if each.flaw is None and each.value != b"v"]
    assert values == [*(b"%d" % number for number in range(len(TAKEN))), b"good"]
    assert [each.offset for each in found] == sorted({each.offset for each in found})
    for each in odd:
        assert (each.key, each.value, each.headers) == (None, None, ())
        with pytest.raises(Refusal, match="cannot be read"):
            check_size(each)


def test_one_is_passed_over_while_another_partition_is_never_silent(address: str) -> None:
    consumer = consumer_of(address)
    produce(address, TOPIC, TAKEN["a key of length -2"])
    produce(address, TOPIC, GOOD)
    found: list[Record] = []
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s and not any(each.value == b"good" for each in found):
        produce(address, TOPIC, batch_of([Raw(b"k", b"busy")]), partition=1)
        found += consumer.poll(1, 1.0)
    consumer.close()
    assert [each.value for each in found if each.partition == 0] == [None, b"good"]


def test_many_of_them_among_good_ones_are_passed_quickly_and_each_good_one_is_read(address: str) -> None:
    odd = list(TAKEN.values())[:4]
    for number in range(12):
        produce(address, TOPIC, odd[number % 4])
        produce(address, TOPIC, batch_of([Raw(b"k", b"%d" % number)]))
    found = read(address, b"11")
    assert [each.value for each in found] == [value for number in range(12) for value in (None, b"%d" % number)]
    assert [each.flaw is None for each in found] == [False, True] * 12
    assert [each.offset for each in found] == list(range(24))


@pytest.mark.parametrize("name", [*TAKEN, *REFUSED])
def test_a_batch_that_cannot_be_read_has_a_flaw(name: str) -> None:
    (batch,) = batches_in({**TAKEN, **REFUSED}[name])
    assert flaw_of(batch)


@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY, LZ4, ZSTD])
def test_good_batches_have_no_flaw(codec: int) -> None:
    raws = [Raw(None, None), Raw(b"", b""), Raw(b"k", b"v" * 5_000, [(b"\xff", None), (b"", b"x")])]
    data = batch_of(raws, codec) * 3
    assert [flaw_of(each) for each in batches_in(data)] == [None] * 3
    assert [each.records for each in batches_in(data + data[:40])] == [3] * 3, "one that is cut is left out"


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_what_is_too_large_is_not_decompressed_beyond_the_bound(codec: int) -> None:
    (small,) = batches_in(bomb(1_000_000, codec))
    assert flaw_of(small) is None
    (large,) = batches_in(bomb(PLAIN_BYTES_MAX, codec))
    assert "cannot be decompressed" in cast(str, flaw_of(large))


def test_gaps_that_compaction_leaves_are_sound() -> None:
    (batch,) = batches_in(odd_batch(odd_record(2) + odd_record(7), 2, last=9))
    assert flaw_of(batch) is None
    (empty,) = batches_in(odd_batch(b"", 0, last=9))
    assert flaw_of(empty) is None


def test_a_batch_of_too_many_records_is_not_gone_through() -> None:
    (batch,) = batches_in(odd_batch(b"", RECORDS_MAX + 1))
    assert "records" in cast(str, flaw_of(batch))


@pytest.mark.parametrize(
    ("offsets", "at", "end", "odd", "odd_where_gaps_are_believed"),
    [
        ([5, 6, 7], 5, 8, None, None),
        ([5, 6, 7], None, 8, None, None),
        ([5, 6, 7], 5, -1, None, None),
        ([5, 6, 8], 5, 8, 2, 2),
        ([9], None, 8, 0, 0),
        ([5, 6, 6], 5, 100, 2, 2),
        ([5, 4], 5, 100, 1, 1),
        ([4], 5, 100, 0, 0),
        ([5, 90, 6, 7], 5, 100, 1, 1),
        ([5, 7, 9, 10], 5, 100, 1, None),
        ([6], 5, 100, 0, None),
        ([], 5, 100, None, None),
    ],
)
def test_offsets_that_cannot_be(
    offsets: list[int], at: int | None, end: int, odd: int | None, odd_where_gaps_are_believed: int | None
) -> None:
    assert first_odd(offsets, at, -1, end) == odd
    assert first_odd(offsets, at, -1, end, gaps=True) == odd_where_gaps_are_believed


def test_what_was_looked_at_needs_no_second_look() -> None:
    assert first_odd([5, 90], 5, -1, 91) == 1
    assert first_odd([5, 90], 5, 200, 91) is None
    assert first_odd([7], 5, 7, 91) is None, "the first behind what was looked at"


@pytest.mark.parametrize("data", [b"", b"junk", GOOD[:30], struct.pack(">qi", 0, -5) + GOOD[12:], zlib.compress(GOOD)])
def test_what_is_no_batch_is_none(data: bytes) -> None:
    assert list(batches_in(data)) == []


def test_where_a_client_begins_at_the_first_again_behind_an_odd_offset_what_was_read_is_left_out() -> None:
    odd = [odd_batch(odd_record(5))]

    def fetch(*_asked: object) -> Fetched:
        return (odd.pop() if odd else b""), ()

    damage = Damage("doubts", "doubts", fetch, time.monotonic)
    damage.begin(0, 0)
    passed = damage.sift(0, [5], 1)
    assert (passed.kept, len(passed.flawed), passed.place) == (0, 1, 1)
    assert damage.sift(0, [1, 2], 3) == Sifted(2)
    assert damage.sift(0, [0, 1, 2], 3) == Sifted(0, [], 3)
    assert damage.sift(0, [3, 0], 4) == Sifted(1, [], 4)


def test_what_is_read_again_where_nothing_was_odd_is_taken_again() -> None:
    damage = Damage("doubts", "doubts", lambda *_asked: (b"", ()), time.monotonic)
    damage.begin(0, 3)
    assert damage.sift(0, [3, 4], 6) == Sifted(2)
    assert damage.sift(0, [3, 4], 6) == Sifted(2)


def test_of_a_log_that_ends_before_what_was_read_all_is_read_from_its_first() -> None:
    damage = Damage("doubts", "doubts", lambda *_asked: (b"", ()), time.monotonic)
    damage.begin(0, 5)
    assert damage.sift(0, [0, 1], 2) == Sifted(2)


def test_what_was_sent_elsewhere_is_read_again() -> None:
    damage = Damage("doubts", "doubts", lambda *_asked: (b"", ()), time.monotonic)
    damage.begin(0, 5)
    damage.begin(0, 2)
    assert damage.sift(0, [2, 3], 6) == Sifted(2)


def test_nothing_is_left_to_read_behind_one_at_the_end_of_a_partition(address: str) -> None:
    consumer = consumer_of(address)
    produce(address, TOPIC, GOOD)
    produce(address, TOPIC, TAKEN["a key of length -2"])
    until_s = time.monotonic() + 30
    while not any(each.flaw for each in consumer.poll(100, 0.05)) and time.monotonic() < until_s:
        continue
    assert consumer.lag()[0] == 0
    consumer.close()
