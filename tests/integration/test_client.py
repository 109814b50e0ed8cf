"""Asking through a real Kafka, with answers from a stand-in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient

from refrain.ops.ask.client import Client
from refrain.ops.ask.questions import Defaults, question_of, request_of
from refrain.schemas.requests import Request
from refrain.schemas.responses import Outcome, Response
from refrain.streams.errors import Unreachable, WrongSetup
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.settings import Settings
from tests.integration.topics import create_table

Answer = Callable[[Record], list[Outgoing]]
DEFAULTS = Defaults(model="m")


def answers(record: Record, text: str | None = None, times: int = 1) -> list[Outgoing]:
    """Responses as the service gives them: with the request's key and headers."""
    request = Request.decode(record.value or b"")
    said = question_of(request) if text is None else text
    response = Response(outcome=Outcome.MISS, body={"choices": [{"message": {"content": said}}]})
    return [Outgoing("responses", record.key, response.encode(), record.headers)] * times


@contextmanager
def answering(settings: Settings, answer: Answer) -> Iterator[None]:
    """A service that answers each request by `answer`."""
    stop, ready = threading.Event(), threading.Event()

    def serve() -> None:
        with KafkaCluster(settings) as cluster:
            consumer, producer = cluster.consumer("requests", "stand-in"), cluster.producer()
            while not stop.is_set():
                batch = consumer.poll(500, 0.05)
                if consumer.assignment():
                    ready.set()
                producer.send([out for record in batch for out in answer(record)])
            consumer.close()
            producer.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield
    finally:
        stop.set()
        thread.join(30)


@pytest.fixture
def client(settings: Settings, admin: AdminClient) -> Iterator[Client]:
    create_table(admin, settings.prefix)
    with Client(settings) as one:
        yield one


def questions(count: int) -> list[Request]:
    return [request_of(f"question {number}", DEFAULTS) for number in range(count)]


def test_every_request_gets_its_own_response(settings: Settings, client: Client) -> None:
    seen: list[int] = []
    with answering(settings, answers):
        replies = client.ask(
            questions(500), timeout_s=30, in_flight_max=100, on_response=lambda number, *_: seen.append(number)
        )
    for number, reply in enumerate(replies):
        assert reply.response is not None
        assert reply.response.body == {"choices": [{"message": {"content": f"question {number}"}}]}
        assert reply.latency_ms is not None
    assert sorted(seen) == list(range(500))
    assert (client.repeats, client.late) == (0, 0)


def test_who_waits_is_known_while_it_does_and_a_second_close_does_nothing(settings: Settings, client: Client) -> None:
    waiting = set(range(40))
    seen: list[bool] = []

    def note(number: int, *_: object) -> None:
        waiting.discard(number)
        seen.append(set(client.in_flight()) == waiting)

    with answering(settings, answers):
        client.ask(questions(40), timeout_s=30, in_flight_max=40, on_response=note)
    assert seen == [True] * 40
    client.close()
    client.close()


def test_a_request_that_nobody_answers_fails_in_time_and_the_others_do_not(settings: Settings, client: Client) -> None:
    def some(record: Record) -> list[Outgoing]:
        return [] if b'question 1"' in (record.value or b"") else answers(record)

    with answering(settings, some):
        # Whoever answers has begun by then: who begins takes his time.
        client.ask(questions(1), timeout_s=30)
        replies = client.ask(questions(3), timeout_s=5)
    assert [reply.response is None for reply in replies] == [False, True, False]
    assert "no response within 5 s" in (replies[1].failure or "")


def test_repeated_responses_are_counted_and_compared(settings: Settings, client: Client) -> None:
    def twice(record: Record) -> list[Outgoing]:
        other = answers(record, "something else") if b"question 0" in (record.value or b"") else answers(record)
        return answers(record) + other

    with answering(settings, twice):
        client.ask(questions(3), timeout_s=30)
        while client.repeats < 3:
            client.listen(0.05)
    assert (client.repeats, client.repeats_different) == (3, 1)


def test_a_request_that_is_too_large_fails_by_itself(settings: Settings, client: Client) -> None:
    huge = request_of("x" * 3_000_000, DEFAULTS)
    with answering(settings, answers):
        replies = client.ask([huge, *questions(1)], timeout_s=30)
    assert (replies[0].failure or "").startswith("not sent: ")
    assert replies[1].response is not None


def test_responses_to_others_are_left_alone(settings: Settings, client: Client) -> None:
    with answering(settings, answers), Client(settings) as other:
        other.ask(questions(3), timeout_s=30)
        replies = client.ask(questions(1), timeout_s=30)
    assert replies[0].response is not None
    assert client.repeats == client.late == 0


def test_missing_topics_are_a_wrong_setup(settings: Settings) -> None:
    with pytest.raises(WrongSetup, match="refrain topics create"):
        Client(settings)


def test_without_a_broker_nobody_can_ask(settings: Settings) -> None:
    with pytest.raises(Unreachable, match="no broker answers"):
        Client(settings.model_copy(update={"kafka": "127.0.0.1:1", "connect_timeout_ms": 500}))
