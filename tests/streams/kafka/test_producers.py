"""Producers while brokers are away: they wait, in order, and a transaction is aborted and made again."""

from __future__ import annotations

import logging
import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from refrain.streams.errors import Aborted, ClusterFailed, Fenced, RecordsRefused, SendFailed, Unanswered
from refrain.streams.kafka import producer as kafka_producer
from refrain.streams.kafka.convert import KafkaGroupMetadata
from refrain.streams.kafka.incarnation import TopicMadeAnew
from refrain.streams.kafka.interface import OffsetAndMetadata
from refrain.streams.kafka.outages import STOP_WAIT_S, Outages
from refrain.streams.kafka.producer import KafkaProducer, KafkaTransactionalProducer
from refrain.streams.settings import Settings
from tests.streams.kafka.cluster_contract import records_of
from tests.streams.kafka.fake_client import FakeProducer, error
from tests.streams.kafka.test_incarnation import Broker
from tests.streams.kafka.test_outages import Time

SETTINGS = Settings(send_timeout_ms=5_000, transaction_timeout_ms=10_000)
AWAY = error(KafkaError._TIMED_OUT, retriable=True)
LOADING = error(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, retriable=True)
FENCED = error(KafkaError._FENCED, fatal=True)

Clients = list[FakeProducer]


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch, time: Time) -> Clients:
    """The clients that are made, in this order; a flush takes half a second."""
    made = [FakeProducer() for _ in range(3)]
    for client in made:
        client.flushed = lambda: time.pass_s(0.5)
    left = iter(made)
    monkeypatch.setattr(kafka_producer, "ConfluentProducer", lambda properties: next(left))
    return made


def sending(time: Time, patience_s: float = 10**9) -> KafkaProducer:
    return KafkaProducer({}, SETTINGS, time.outages(patience_s))


def writing(time: Time, broker: Broker) -> KafkaProducer:
    """One that asks this broker which topic is there."""
    return KafkaProducer({}, SETTINGS, time.outages(), lambda topic: broker.describe())


def transacting(time: Time) -> KafkaTransactionalProducer:
    return KafkaTransactionalProducer({}, SETTINGS, "lookup-0", time.outages())


def test_a_send_waits_for_an_outage_to_end_and_tells_it_once(
    clients: Clients, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    clients[0].reports = iter([None] * 240 + [0])
    sending(time).send(records_of("things", 1))
    assert time.now_s == pytest.approx(120.5)
    assert clients[0].calls.count("produce") == 1, "the client itself tries again, so that nothing is written twice"
    assert time.changes == [True]
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert "acknowledg" in line


def test_a_slow_acknowledgement_is_no_outage(clients: Clients, time: Time) -> None:
    clients[0].reports = iter([None] * 6)
    sending(time).send(records_of("things", 1))
    assert time.changes == []


def test_a_send_that_waits_finds_out_that_its_topic_was_made_anew(clients: Clients, time: Time) -> None:
    broker = Broker("before")

    def flushed() -> None:
        time.pass_s(0.5)
        broker.answer = "anew"

    clients[0].reports, clients[0].flushed = iter([None] * 1_000), flushed
    with pytest.raises(TopicMadeAnew, match="things"):
        writing(time, broker).send(records_of("things", 1))
    assert time.now_s < 30


@pytest.mark.parametrize("answer", ["the same", error(KafkaError._TIMED_OUT)])
def test_a_send_waits_on_while_its_topic_is_the_same_or_nobody_says(
    clients: Clients, time: Time, answer: str | Exception
) -> None:
    clients[0].reports = iter([None] * 240 + [0])
    broker = Broker(answer)
    writing(time, broker).send(records_of("things", 1))
    assert time.now_s == pytest.approx(120.5)
    assert broker.asked > 1


def test_a_send_ends_soon_after_the_worker_is_asked_to_stop(clients: Clients, time: Time) -> None:
    time.stop_at_s = 30
    clients[0].reports = iter([None] * 1_000)
    with pytest.raises(SendFailed, match="not acknowledged"):
        sending(time).send(records_of("things", 1))
    assert 30 + STOP_WAIT_S <= time.now_s <= 32 + STOP_WAIT_S


def test_a_command_has_patience_for_so_long(clients: Clients, time: Time) -> None:
    clients[0].reports = iter([None] * 1_000)
    with pytest.raises(SendFailed):
        sending(time, patience_s=20).send(records_of("things", 1))
    assert time.now_s < 22


@pytest.mark.parametrize(
    "code",
    [KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._UNKNOWN_TOPIC, KafkaError._DESTROY],
    ids=["too large", "topic away", "partition deleted meanwhile"],
)
def test_a_record_that_is_refused_is_not_waited_for(clients: Clients, time: Time, code: int) -> None:
    clients[0].reports = iter([code, 0])
    with pytest.raises(RecordsRefused, match="refused") as raised:
        sending(time).send(records_of("things", 2))
    assert list(raised.value.refused) == [0], "the other one is written"
    assert time.now_s < 1


@pytest.mark.parametrize("step", ["init_transactions", "commit_transaction"])
@pytest.mark.parametrize("problem", [AWAY, LOADING], ids=["away", "loading"])
def test_a_step_of_a_transaction_is_tried_again_until_it_is_done(
    clients: Clients, time: Time, step: str, problem: KafkaException
) -> None:
    clients[0].failures = {step: [problem] * 30}
    assert transacting(time).transact(records_of("things", 2), None, {}) == {("things", 0): 1}
    assert clients[0].calls.count(step) == 31
    assert clients[0].calls[-1] == "commit_transaction"
    assert "abort_transaction" not in clients[0].calls
    assert time.now_s > 30
    assert time.changes == [True]


@pytest.mark.parametrize("code", [KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT])
def test_what_the_brokers_do_not_take_in_time_is_aborted_and_can_be_committed_again(
    clients: Clients, time: Time, code: int
) -> None:
    clients[0].reports = iter([code, 0])
    clients[0].failures = {"abort_transaction": [AWAY] * 5}
    producer = transacting(time)
    with pytest.raises(Aborted):
        producer.transact(records_of("things", 1), None, {})
    assert clients[0].calls.count("abort_transaction") == 6
    assert producer.transact(records_of("things", 1), None, {}) == {("things", 0): 1}
    assert [each.calls.count("init_transactions") for each in clients[:2]] == [1, 1], "it may know a topic that is gone"


def test_a_transaction_that_takes_no_more_records_is_aborted_and_made_again(clients: Clients, time: Time) -> None:
    clients[0].failures = {"produce": [error(KafkaError._STATE)]}
    producer = transacting(time)
    with pytest.raises(Aborted):
        producer.transact(records_of("things", 1), None, {})
    assert clients[0].calls[-1] == "abort_transaction"
    assert producer.transact(records_of("things", 1), None, {}) == {("things", 0): 1}


def test_offsets_that_are_not_taken_while_the_transaction_may_last_go_into_the_next_one(
    clients: Clients, time: Time
) -> None:
    clients[0].failures = {"send_offsets_to_transaction": [AWAY] * 1_000}
    member = KafkaGroupMetadata("journal", "refrain.journal", None)
    producer = transacting(time)
    with pytest.raises(Aborted):
        producer.transact(records_of("things", 1), member, {0: OffsetAndMetadata(1)})
    assert 10 < time.now_s < 20
    assert clients[0].calls[-1] == "abort_transaction"
    clients[0].failures = {}
    assert producer.transact(records_of("things", 1), member, {0: OffsetAndMetadata(1)}) == {("things", 0): 1}


def test_what_cannot_be_aborted_is_left_to_the_broker_and_a_new_client(clients: Clients, time: Time) -> None:
    clients[0].reports = iter([KafkaError._MSG_TIMED_OUT])
    clients[0].failures = {"abort_transaction": [AWAY] * 1_000}
    producer = transacting(time)
    with pytest.raises(Aborted):
        producer.transact(records_of("things", 1), None, {})
    assert producer.transact(records_of("things", 1), None, {}) == {("things", 0): 1}
    assert clients[1].calls[0] == "init_transactions"


@pytest.mark.parametrize("step", ["init_transactions", "send_offsets_to_transaction", "abort_transaction"])
def test_a_client_that_does_not_come_back_from_a_call_is_left_behind(
    clients: Clients, time: Time, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "STUCK_S", 0.01)
    never = threading.Event()
    monkeypatch.setattr(clients[0], step, lambda *_: never.wait(60))
    if step == "abort_transaction":
        clients[0].reports = iter([KafkaError._MSG_TIMED_OUT])
    producer = transacting(time)
    member = KafkaGroupMetadata("journal", "refrain.journal", None)
    try:
        with pytest.raises(Aborted):
            producer.transact(records_of("things", 1), member, {0: OffsetAndMetadata(1)})
    finally:
        never.set()
    assert producer.transact(records_of("things", 1), member, {0: OffsetAndMetadata(1)}) == {("things", 0): 1}
    assert clients[1].calls[0] == "init_transactions"
    assert "commit_transaction" not in clients[0].calls


def test_a_commit_that_does_not_come_back_is_not_made_again(
    clients: Clients, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "STUCK_S", 0.01)
    never = threading.Event()
    monkeypatch.setattr(clients[0], "commit_transaction", lambda *_: never.wait(60))
    try:
        with pytest.raises(Unanswered):
            transacting(time).transact(records_of("things", 1), None, {})
    finally:
        never.set()


def test_a_transaction_that_the_broker_ended_is_nobodys_take_over(clients: Clients, time: Time) -> None:
    clients[0].failures = {"commit_transaction": [*[AWAY] * 20, FENCED]}
    producer = transacting(time)
    with pytest.raises(Aborted, match="the broker ended it") as raised:
        producer.transact(records_of("things", 1), None, {})
    assert "another worker" not in str(raised.value)
    assert producer.transact(records_of("things", 1), None, {}) == {("things", 0): 1}
    assert clients[1].calls[0] == "init_transactions", "a new client takes the place of the one that can do no more"


def test_a_transaction_whose_client_lost_the_name_of_its_fatal_error_asks_for_it(clients: Clients, time: Time) -> None:
    lost = SystemError("flush returned NULL without setting an exception")
    clients[0].failures = {"flush": [lost], "abort_transaction": [FENCED]}
    with pytest.raises(Fenced):
        transacting(time).transact(records_of("things", 1), None, {})


def test_a_transaction_that_is_fenced_at_once_was_taken_over(clients: Clients, time: Time) -> None:
    clients[0].failures = {"commit_transaction": [FENCED]}
    with pytest.raises(Fenced, match="another worker took over"):
        transacting(time).transact(records_of("things", 1), None, {})


def test_a_producer_that_the_broker_forgot_is_made_anew(clients: Clients, time: Time) -> None:
    clients[0].failures = {
        "begin_transaction": [error(KafkaError.INVALID_PRODUCER_ID_MAPPING, fatal=True)],
    }
    producer = transacting(time)
    with pytest.raises(Aborted):
        producer.transact(records_of("things", 1), None, {})
    assert producer.transact(records_of("things", 1), None, {})


def test_a_commit_of_which_nobody_knows_what_came_is_not_made_again(clients: Clients, time: Time) -> None:
    time.stop_at_s = 5
    clients[0].failures = {"commit_transaction": [AWAY] * 1_000}
    with pytest.raises(Unanswered) as raised:
        transacting(time).transact(records_of("things", 1), None, {})
    assert not isinstance(raised.value, Aborted)
    assert "abort_transaction" not in clients[0].calls


def test_a_client_that_can_do_no_more_is_told_as_that(clients: Clients, time: Time) -> None:
    clients[0].failures = {"commit_transaction": [error(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True)]}
    with pytest.raises(ClusterFailed, match="can do no more") as raised:
        transacting(time).transact(records_of("things", 1), None, {0: OffsetAndMetadata(1)})
    assert not isinstance(raised.value, Fenced)


def test_an_end_that_is_not_told_is_left_out(clients: Clients, time: Time) -> None:
    clients[0].offset = -1001
    assert transacting(time).transact(records_of("things", 1), None, {}) == {}


def test_outages_of_another_worker_are_not_of_this_one() -> None:
    one, other = Outages(), Outages()
    one.begin("x", "y")
    assert one.lasting
    assert not other.lasting
