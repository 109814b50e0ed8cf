"""Who reads without a group passes over batches that a broker takes and no client can read, and tells of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError

from refrain.ops.cluster.tail import Span as Wished
from refrain.ops.cluster.tail import follow
from refrain.streams.kafka.batches import batches_in
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Record, Span
from refrain.streams.kafka.passing import READ_SILENT_S, Passing
from refrain.streams.kafka.raw_fetch import Fetched
from refrain.streams.settings import Settings
from tests.streams.kafka.odd_batches import TAKEN
from tests.streams.kafka.raw_records import Raw, batch_of, broker_of, produce

TOPIC = "responses"
WAIT_S = 20.0
EACH = ("a key of length -2", "the second of three", "zstd of 100 MB", "an offset far beyond", "an offset twice")
"""One of each way in which a client fails: without a word, in the middle, with an error, and by what it gives."""


@pytest.fixture
def settings() -> Iterator[Settings]:
    with broker_of(TOPIC) as address:
        yield Settings(kafka=address, prefix="")


def write(settings: Settings, *batches: bytes) -> list[int]:
    """Write batches to partition 0; the last offset of each."""
    lasts = []
    for data in batches:
        (batch,) = batches_in(data)
        lasts.append(produce(settings.kafka, TOPIC, data) + batch.last)
    return lasts


def good(number: int) -> bytes:
    return batch_of([Raw(b"k", b"good %d" % number)])


def told(records: list[Record]) -> list[tuple[int, bytes | None]]:
    """Offsets and values, without the records of odd batches that a client hands out all the same."""
    return [(each.offset, each.value) for each in records if each.flaw is not None or each.value != b"v"]


@pytest.mark.parametrize("name", EACH)
def test_a_scan_a_reader_and_a_tail_pass_over_it(settings: Settings, name: str) -> None:
    with KafkaCluster(settings) as cluster:
        tail = cluster.tail({TOPIC: [0]}, "t")
        first, odd, last = write(settings, good(0), TAKEN[name], good(1))
        wanted = [(first, b"good 0"), (odd, None), (last, b"good 1")]
        assert told(list(cluster.scan(TOPIC, 0))) == wanted
        sifted = list(cluster.sift(TOPIC, {0: Span(0, last + 1)}, lambda _, value: value in {b"good 0", b"good 1"}))
        assert told(sifted) == [wanted[0], wanted[2]]
        reader = cluster.reader(TOPIC)
        read: list[Record] = []
        while found := reader.read(0, read[-1].offset + 1 if read else 0, 10):
            read += found
        reader.close()
        assert told(read) == wanted
        tailed: list[Record] = []
        until_s = time.monotonic() + WAIT_S
        while len(told(tailed)) < len(wanted) and time.monotonic() < until_s:
            tailed += tail.poll(10, 0.1)
        tail.close()
        assert told(tailed) == wanted


def test_who_follows_passes_over_all_of_them_and_names_each_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    batches = [batch for number, odd in enumerate(TAKEN.values()) for batch in (odd, good(number))]
    write(settings, *batches, next(iter(TAKEN.values())))
    found = [
        each.value()
        for each in follow(settings, TOPIC, Wished(from_start=True, to_the_end=True))
        if each.value() != b"v"
    ]
    assert found == [b"good %d" % number for number in range(len(TAKEN))]
    lines = [each.getMessage() for each in caplog.records if "cannot be read" in each.getMessage()]
    assert len(lines) == len(set(lines)) == len(TAKEN) + 1
    assert all(f"{TOPIC}[0]: offsets" in line for line in lines)


def test_what_stands_behind_the_end_of_a_scan_does_not_hold_it_up(settings: Settings) -> None:
    odd = list(TAKEN.values())
    (first, *_) = write(settings, good(0), *odd)
    with KafkaCluster(settings) as cluster:
        assert told(list(cluster.sift(TOPIC, {0: Span(0, first + 1)}))) == [(first, b"good 0")]


class Mute:
    """A client of three partitions in which something is, and of which it gives nothing."""

    def __init__(self) -> None:
        self.sought: dict[int, int] = {}

    def assignment(self) -> list[Any]:
        return [SimpleNamespace(topic=TOPIC, partition=number) for number in range(3)]

    def get_watermark_offsets(self, place: Any, cached: bool) -> tuple[int, int]:
        return 0, 9

    def seek(self, place: Any) -> None:
        self.sought[place.partition] = place.offset


class Looked:
    """Passes over what a mute client does not give, a moment later with each call; `asked` are the looks."""

    def __init__(self, lies_there: bytes) -> None:
        self.asked: list[int] = []
        self.client = Mute()
        self._lies_there = lies_there
        self._now_s = 0.0
        self._passing = Passing(cast(Consumer, self.client), {TOPIC: TOPIC}, self._fetch, clock=lambda: self._now_s)
        for number in range(3):
            self._passing.begin((TOPIC, number), 0)

    def hear(self) -> list[Record]:
        self._now_s += READ_SILENT_S
        return list(self._passing.hear(()).flawed)

    def _fetch(self, _name: str, partition: int, at: int) -> Fetched:
        self.asked.append(partition)
        return (self._lies_there if at == 0 else b""), ()


def given(offset: int, code: int | None = None) -> Any:
    """A record of partition 0, or what the client says of it."""
    error = None if code is None else KafkaError(code)
    return SimpleNamespace(topic=lambda: TOPIC, partition=lambda: 0, offset=lambda: offset, error=lambda: error)


@pytest.mark.parametrize("together", [True, False], ids=["at once", "late"])
def test_that_there_is_nothing_behind_an_offset_that_a_record_made_up_is_no_cut(together: bool) -> None:
    """The client asks for what follows a record at once, and says that it is not there also after it was sent back."""
    client = Mute()
    passing = Passing(cast(Consumer, client), {TOPIC: TOPIC}, lambda *_: (TAKEN["an offset far beyond"], ()))
    passing.begin((TOPIC, 0), 0)
    made_up, behind_it = given(2**30), given(2**30 + 1, KafkaError._AUTO_OFFSET_RESET)
    first = passing.hear([made_up, behind_it] if together else [made_up])
    later = passing.hear([] if together else [behind_it])
    assert [each.offset for each in first.flawed] == [0]
    assert [*first.messages, *later.messages] == []
    assert client.sought == {0: 1}
    record, cut = given(1), given(2, KafkaError._AUTO_OFFSET_RESET)
    assert passing.hear([behind_it, record]).messages == [record]
    assert passing.hear([cut]).messages == [cut]


def test_all_partitions_that_are_silent_for_a_broken_batch_are_read_on_at_once() -> None:
    looked = Looked(TAKEN["a key of length -2"])
    assert [each.partition for each in looked.hear()] == [0, 1, 2]
    assert looked.client.sought == {0: 1, 1: 1, 2: 1}


def test_where_nothing_is_broken_one_partition_is_looked_at_in_a_read_and_each_once() -> None:
    looked = Looked(good(0))
    for so_far in ([0], [0, 1], [0, 1, 2], [0, 1, 2]):
        assert looked.hear() == []
        assert looked.asked == so_far
