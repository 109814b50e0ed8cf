"""A consumer while no broker answers: it says so once, commits later, and finds out by itself when one is back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from refrain.streams.errors import Rebalanced, Unanswered
from refrain.streams.kafka import consumer as kafka_consumer
from refrain.streams.kafka.consumer import KafkaConsumer
from refrain.streams.kafka.interface import OffsetAndMetadata
from refrain.streams.settings import Settings
from tests.streams.kafka.fake_client import error
from tests.streams.kafka.test_outages import Time

AT = {0: OffsetAndMetadata(5)}


class Client:
    """A consumer of librdkafka: `told` are the errors that its next polls tell, `problems` what its calls raise."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.problems: list[Exception] = []
        self.asked = 0
        self.listeners: dict[str, Any] = {}
        self.member = "first"
        self.asked_who = 0

    def subscribe(self, topics: Any, **listeners: Any) -> None:
        self.listeners = listeners

    def memberid(self) -> str:
        self.asked_who += 1
        return self.member

    def rebalance(self, told: str, *partitions: int) -> None:
        """Tell the listener of a rebalance: `on_assign`, `on_revoke` or `on_lost`."""
        self.listeners[told](self, [TopicPartition("refrain.requests", number) for number in partitions])

    def incremental_assign(self, partitions: Any) -> None:
        return

    incremental_unassign = incremental_assign

    def poll(self, timeout_s: float) -> Any:
        if not self.told:
            return None
        code = self.told.pop(0)
        return SimpleNamespace(error=lambda: KafkaError(code))

    def consume(self, count: int, timeout_s: float) -> list[Any]:
        return []

    def list_topics(self, name: str, timeout_s: float) -> None:
        self.asked += 1
        self._answer()

    def commit(self, *, offsets: Any, asynchronous: bool) -> list[Any]:
        self._answer()
        return []

    def committed(self, asked: Any, timeout: float) -> list[Any]:
        self._answer()
        return [SimpleNamespace(partition=0, offset=5, metadata=None, error=None)]

    def close(self) -> None:
        return

    def _answer(self) -> None:
        if self.problems:
            raise self.problems.pop(0)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    fake = Client()
    monkeypatch.setattr(kafka_consumer, "ConfluentConsumer", lambda properties: fake)
    return fake


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def consumer(client: Client, time: Time) -> KafkaConsumer:
    return KafkaConsumer({}, Settings(), "requests", "classify", None, True, time.outages())


def test_when_all_brokers_are_down_it_looks_now_and_then_whether_one_is_back(
    client: Client, consumer: KafkaConsumer, time: Time
) -> None:
    client.told = [KafkaError._ALL_BROKERS_DOWN]
    client.problems = [error(KafkaError._TRANSPORT)] * 5
    assert consumer.poll(10, 0.1) == []
    assert time.changes == [True]
    for _ in range(100):
        assert consumer.poll(10, 0.1) == []
        time.pass_s(0.1)
    assert client.asked == 6, "once a second, until the answer"


def test_what_it_recovers_from_by_itself_is_no_outage(client: Client, consumer: KafkaConsumer, time: Time) -> None:
    client.told = [KafkaError._TRANSPORT, KafkaError._MAX_POLL_EXCEEDED, KafkaError.COORDINATOR_LOAD_IN_PROGRESS]
    for _ in range(4):
        assert consumer.poll(10, 0.1) == []
    assert time.changes == []
    assert client.asked == 0


def test_a_commit_that_nobody_takes_is_left_for_later(client: Client, consumer: KafkaConsumer, time: Time) -> None:
    client.problems = [error(KafkaError._WAIT_COORD), error(KafkaError.COORDINATOR_LOAD_IN_PROGRESS)]
    for _ in range(2):
        with pytest.raises(Unanswered):
            consumer.commit(AT)
    assert time.changes == [True]
    consumer.commit(AT)


def test_a_commit_of_one_that_was_taken_for_dead_is_made_after_it_has_joined_again(
    client: Client, consumer: KafkaConsumer
) -> None:
    client.problems = [error(KafkaError.UNKNOWN_MEMBER_ID)]
    with pytest.raises(Rebalanced):
        consumer.commit(AT)


def test_committed_offsets_are_asked_for_until_they_are_told(
    client: Client, consumer: KafkaConsumer, time: Time
) -> None:
    client.problems = [error(KafkaError.COORDINATOR_LOAD_IN_PROGRESS)] * 20
    assert consumer.committed([0]) == AT
    assert time.now_s > 10


def test_the_client_is_asked_for_the_member_id_once_after_a_rebalance(client: Client, consumer: KafkaConsumer) -> None:
    client.rebalance("on_assign", 0, 1)
    assert [consumer.member_id() for _ in range(3)] == ["first"] * 3
    assert client.asked_who == 1
    assert consumer.assignment() == [0, 1]
    client.rebalance("on_lost", 0, 1)
    client.member = ""
    assert (consumer.member_id(), consumer.assignment()) == ("", [])
    client.member = "second"
    client.rebalance("on_assign", 1)
    assert (consumer.member_id(), consumer.assignment()) == ("second", [1])
    client.rebalance("on_assign", 4)
    client.rebalance("on_revoke", 1)
    assert consumer.assignment() == [4]


def test_a_member_without_partitions_is_asked_each_time(client: Client, consumer: KafkaConsumer) -> None:
    assert consumer.member_id() == "first"
    client.member = "second"
    assert consumer.member_id() == "second", "it joins anew and nobody is told"
