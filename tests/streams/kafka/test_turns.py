"""Partitions take turns: a crowd in one delays no other, and each keeps its own order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.errors import OffsetLost
from refrain.streams.kafka import consumer as kafka_consumer
from refrain.streams.kafka.consumer import KafkaConsumer
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.turns import Turns
from refrain.streams.settings import Settings
from tests.streams.kafka.test_outages import Time

WHOLE = 4


def record(partition: int, offset: int, value: bytes = b"v") -> Record:
    return Record("requests", partition, offset, 0, None, value)


def crowd(partition: int, count: int, first: int = 0) -> list[Record]:
    return [record(partition, first + number) for number in range(count)]


def places(records: Sequence[Record]) -> list[tuple[int, int]]:
    return [(each.partition, each.offset) for each in records]


def test_one_behind_a_crowd_of_another_partition_is_in_the_next_batch() -> None:
    turns = Turns()
    turns.add([*crowd(0, 1_000), record(1, 7)])
    assert (1, 7) in places(turns.take(10))


def test_who_has_less_leaves_the_rest_to_the_others() -> None:
    turns = Turns()
    turns.add([*crowd(0, 50), *crowd(1, 3), *crowd(2, 50)])
    assert Counter(each.partition for each in turns.take(33)) == {0: 15, 1: 3, 2: 15}


@given(st.lists(st.integers(0, 4), max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_each_record_comes_once_and_in_the_order_of_its_partition(of: list[int], sizes: list[int]) -> None:
    records = [record(partition, offset) for offset, partition in enumerate(of)]
    turns, taken = Turns(), []
    for number, size in enumerate(sizes):
        turns.add(records[number::WHOLE] if number < WHOLE else [])
        taken += turns.take(size)
        assert len(taken) <= sum(sizes[: number + 1])
    taken += turns.take(len(records))
    added = [each for number in range(min(WHOLE, len(sizes))) for each in records[number::WHOLE]]
    assert turns.is_empty
    for partition in set(of):
        assert [r for r in taken if r.partition == partition] == [r for r in added if r.partition == partition]


def test_none_is_always_the_last_of_its_batch() -> None:
    turns = Turns()
    turns.add([*crowd(0, 9), *crowd(1, 9), *crowd(2, 9)])
    assert len({tuple(each.partition for each in turns.take(2)) for _ in range(6)}) > 1


def test_a_stopped_partition_waits_and_goes_on_where_it_was() -> None:
    turns = Turns()
    turns.add([*crowd(0, 4), *crowd(1, 2)])
    turns.stop([0])
    assert places(turns.take(10)) == [(1, 0), (1, 1)]
    assert (turns.is_idle, turns.is_empty) == (True, False)
    turns.go_on([0])
    assert places(turns.take(10)) == [(0, number) for number in range(4)]


def test_the_fullest_partitions_are_read_no_further_by_number_or_by_size() -> None:
    turns = Turns(records_max=10, bytes_max=1_000)
    turns.add([*crowd(0, 8), *crowd(1, 3)])
    assert turns.crowded({0, 1}) == [0]
    turns.take(20)
    assert turns.crowded({0, 1}) == []
    turns.add([record(2, 0, b"x" * 2_000), *crowd(0, 2)])
    assert turns.crowded({0, 1, 2}) == [2]
    assert (turns.has_room(2), turns.has_room(0), turns.has_room(1)) == (False, True, True)


class Client:
    """A consumer of librdkafka with queued messages, which are lost for partitions that are paused, as there."""

    def __init__(self) -> None:
        self.queue: list[Any] = []
        self.paused: set[int] = set()
        self.before_consume: Any = None
        self.asked = 0

    def subscribe(self, topics: Any, **listeners: Any) -> None:
        self.listeners = listeners

    def poll(self, timeout_s: float) -> Any:
        return self.queue.pop(0) if self.queue else None

    def consume(self, count: int, timeout_s: float) -> list[Any]:
        if self.before_consume is not None:
            self.before_consume()
        taken, self.queue = self.queue[:count], self.queue[count:]
        return taken

    def pause(self, partitions: Any) -> None:
        self.paused |= {each.partition for each in partitions}
        self.queue = [each for each in self.queue if each.partition() not in self.paused]

    def resume(self, partitions: Any) -> None:
        self.paused -= {each.partition for each in partitions}

    def seek(self, place: Any) -> None:
        return

    def incremental_unassign(self, partitions: Any) -> None:
        return

    incremental_assign = incremental_unassign

    def position(self, partitions: Any) -> list[Any]:
        return [SimpleNamespace(topic="refrain.requests", partition=number, offset=3_000) for number in range(3)]

    def get_watermark_offsets(self, place: Any, timeout: float = 0, cached: bool = False) -> tuple[int, int]:
        return 0, 3_000

    def committed(self, asked: Any, timeout: float) -> list[Any]:
        return []


def message(of: Record) -> Any:
    return SimpleNamespace(
        error=lambda: None,
        topic=lambda: "refrain.requests",
        partition=lambda: of.partition,
        offset=lambda: of.offset,
        record=of,
    )


def cut(partition: int, offset: int) -> Any:
    problem = KafkaError(KafkaError._AUTO_OFFSET_RESET)
    return SimpleNamespace(
        error=lambda: problem,
        topic=lambda: "refrain.requests",
        partition=lambda: partition,
        offset=lambda: offset,
    )


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    fake = Client()
    monkeypatch.setattr(kafka_consumer, "ConfluentConsumer", lambda properties: fake)
    monkeypatch.setattr(kafka_consumer, "record_of", lambda topic, message: message.record)
    return fake


@pytest.fixture
def consumer(client: Client) -> KafkaConsumer:
    consumer = KafkaConsumer({}, Settings(), "requests", "classify", None, True, Time().outages(), lambda *_: (b"", ()))
    client.listeners["on_assign"](client, [TopicPartition("refrain.requests", number) for number in range(3)])
    return consumer


def test_a_poll_gives_each_partition_its_turn_and_the_lag_counts_what_is_held(
    client: Client, consumer: KafkaConsumer
) -> None:
    client.queue = [message(each) for each in [*crowd(0, 600, 2_400), *crowd(1, 1, 2_999)]]
    first = consumer.poll(4, 0.1)
    assert (1, 2_999) in places(first)
    assert len(first) == 4
    assert consumer.lag() == {0: 597, 1: 0, 2: 0}
    assert len(consumer.poll(1_000, 0.1)) == 597


def test_what_crowds_the_others_out_is_read_no_further_until_it_has_room(
    client: Client, consumer: KafkaConsumer
) -> None:
    count = kafka_consumer.TAKEN_MAX * 5
    client.queue = [message(each) for each in [*crowd(0, count), *crowd(1, 1)]]
    for _ in range(5):
        consumer.poll(1, 0.1)
    assert client.paused == {0}
    seen = 0
    while client.paused:
        seen += len(consumer.poll(100, 0.1))
    assert 0 < seen < count


def test_a_paused_partition_is_handed_out_when_its_owner_goes_on(client: Client, consumer: KafkaConsumer) -> None:
    client.queue = [message(each) for each in crowd(0, 5)]
    assert len(consumer.poll(2, 0.1)) == 2
    consumer.pause([0])
    assert consumer.poll(9, 0.1) == []
    consumer.resume([0])
    assert places(consumer.poll(9, 0.1)) == [(0, 2), (0, 3), (0, 4)]


def test_nothing_is_handed_out_of_a_partition_that_was_sought_or_given_back(
    client: Client, consumer: KafkaConsumer
) -> None:
    client.queue = [message(each) for each in [*crowd(0, 5), *crowd(1, 5), *crowd(2, 5)]]
    consumer.poll(3, 0.1)
    consumer.seek(0, 90)
    client.queue = [message(each) for each in [*crowd(0, 1, 90), *crowd(1, 1, 5)]]
    gone = [SimpleNamespace(partition=1)]
    client.before_consume = lambda: client.listeners["on_revoke"](client, gone)
    assert set(places(consumer.poll(99, 0.1))) == {(0, 90), (2, 1), (2, 2), (2, 3), (2, 4)}


def test_a_cut_is_told_when_all_that_was_read_before_it_is_handed_out(client: Client, consumer: KafkaConsumer) -> None:
    client.queue = [*[message(each) for each in crowd(0, 3)], cut(0, 3)]
    assert len(consumer.poll(2, 0.1)) == 2
    assert len(consumer.poll(2, 0.1)) == 1
    with pytest.raises(OffsetLost) as lost:
        consumer.poll(2, 0.1)
    assert lost.value.partition == 0
