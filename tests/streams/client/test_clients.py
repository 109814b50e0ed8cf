"""The client library over a cluster in memory: replies, failures, attempts, batches, streams, reply places."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from refrain.schemas.progress import Progress, ProgressPlace
from refrain.schemas.requests import Request
from refrain.schemas.responses import Outcome, Response
from refrain.streams.client import AsyncClient, Client, Failure, NotAnswered
from refrain.streams.client.exchange import HEADER, Exchange, ReplyPlace
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.progress import HEADER as PROGRESS
from refrain.streams.messaging.progress import piece
from refrain.streams.messaging.responses import error_response
from refrain.streams.settings import Settings

WAIT_S = 20.0
HEAVY = ("hnswlib", "rocksdict", "torch", "faust", "numpy", "starlette", "ctranslate2", "re2")
Answer = Callable[[Record], list[Outgoing]]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def body(text: str = "Who?") -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def reply_to(record: Record, response: Response) -> list[Outgoing]:
    """A response as Refrain sends it: to the partition that the request names, with its headers."""
    partition = int(dict(record.headers).get("kafka_replyPartition") or b"0")
    return [Outgoing("responses", record.key, response.encode(), record.headers, partition)]


def answered(record: Record) -> list[Outgoing]:
    text = Request.decode(record.value or b"").body["messages"][0]["content"]
    return reply_to(record, Response(outcome=Outcome.MISS, body={"choices": [{"message": {"content": text}}]}))


@contextmanager
def answering(answer: Answer) -> Iterator[MemoryCluster]:
    """A cluster on which somebody answers each request so."""
    cluster, stop = MemoryCluster(now_ms), threading.Event()
    tail = cluster.tail({"requests": None}, "stand-in")

    def serve() -> None:
        while not stop.is_set():
            for record in tail.poll(100, 0.05):
                cluster.append(answer(record))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        stop.set()
        thread.join(WAIT_S)


@contextmanager
def client_of(cluster: MemoryCluster, attempts: int = 3) -> Iterator[Client]:
    with Client(Settings(), attempts=attempts, exchange=Exchange(Settings(), cluster)) as client:
        yield client


def test_a_reply_has_text_outcome_and_the_time_it_took() -> None:
    with answering(answered) as cluster, client_of(cluster) as client:
        reply = client.ask(body("What?"), timeout_s=WAIT_S)
    assert (reply.text, reply.outcome, reply.decision) == ("What?", "miss", None)
    assert 0 < reply.latency_ms < WAIT_S * 1_000
    assert reply.request.deadline_at_ms is not None


def test_many_are_answered_in_their_order_and_failures_in_their_place() -> None:
    def some(record: Record) -> list[Outgoing]:
        return answered(record) if b"number 3" not in (record.value or b"") else []

    with answering(some) as cluster, client_of(cluster) as client:
        found = client.ask_all([body(f"number {n}") for n in range(6)], timeout_s=0.5, in_flight_max=2)
    texts = [each.code if isinstance(each, NotAnswered) else each.text for each in found]
    assert texts == ["number 0", "number 1", "number 2", Failure.NO_RESPONSE, "number 4", "number 5"]


@pytest.mark.parametrize("text", ["half \ud800", "\udfff", object()], ids=["high", "low", "object"])
def test_what_has_no_json_fails_in_its_place_and_the_others_are_asked(text: object) -> None:
    wrong = {"model": "m", "messages": [{"role": "user", "content": text}]}
    with answering(answered) as cluster, client_of(cluster) as client:
        found = client.ask_all([body("one"), wrong, body("two")], timeout_s=WAIT_S)
        with pytest.raises(NotAnswered, match="has no JSON") as failed:
            client.ask(wrong, timeout_s=WAIT_S)
    assert [each.code if isinstance(each, NotAnswered) else each.text for each in found] == ["one", "bad_field", "two"]
    assert failed.value.code == "bad_field"


def test_an_error_is_raised_with_its_code_and_one_that_asks_for_it_is_sent_again() -> None:
    codes = iter(["shard_recovered", "answer_withheld"])

    def failing(record: Record) -> list[Outgoing]:
        code = next(codes, None)
        if code is None:
            return answered(record)
        return reply_to(record, error_response(code, "again", request_id=None, tenant="default"))

    with answering(failing) as cluster, client_of(cluster) as client:
        assert client.ask(body(), timeout_s=WAIT_S).text == "Who?"
        assert len(cluster.records("requests")) == 3
    refused = error_response("empty_question", "ask something", request_id=None, tenant="default")
    with answering(lambda record: reply_to(record, refused)) as cluster, client_of(cluster) as client:
        with pytest.raises(NotAnswered, match="ask something") as raised:
            client.ask(body(), timeout_s=WAIT_S)
        assert raised.value.code == "empty_question"
        assert len(cluster.records("requests")) == 1


def test_what_is_no_response_and_what_the_broker_does_not_take_are_failures() -> None:
    def junk(record: Record) -> list[Outgoing]:
        return [each._replace(value=b"junk") for each in answered(record)]

    with answering(junk) as cluster, client_of(cluster, attempts=1) as client:
        with pytest.raises(NotAnswered) as raised:
            client.ask(body(), timeout_s=WAIT_S)
        assert raised.value.code == Failure.NOT_READ
        cluster.configure("requests", max_bytes=1_000)
        with pytest.raises(NotAnswered) as raised:
            client.ask(body("x" * 2_000), timeout_s=WAIT_S)
        assert raised.value.code == Failure.NOT_SENT


def test_who_waits_when_the_client_is_closed_hears_so() -> None:
    cluster = MemoryCluster(now_ms)
    client = Client(Settings(), exchange=Exchange(Settings(), cluster))
    future = client.send(body())
    client.close()
    client.close()
    with pytest.raises(NotAnswered) as raised:
        future.result(WAIT_S)
    assert raised.value.code == Failure.CLOSED
    with pytest.raises(NotAnswered):
        client.send(body())


def test_a_request_that_was_given_up_costs_the_others_nothing() -> None:
    held = threading.Event()

    def late(record: Record) -> list[Outgoing]:
        assert held.wait(WAIT_S)
        return answered(record)

    with answering(late) as cluster, client_of(cluster) as client:
        assert client.send(body()).cancel()
        held.set()
        assert client.ask(body("And I?"), timeout_s=WAIT_S).text == "And I?"
        assert client.send(body("Me too?")).result(WAIT_S).text == "Me too?"


def test_whatever_ends_the_exchange_whoever_waits_hears_so() -> None:
    def fail(id_: bytes, value: bytes) -> None:
        raise ZeroDivisionError("with the text of a question")

    with answering(answered) as cluster:
        exchange = Exchange(Settings(), cluster, first=fail)
        with Client(Settings(), exchange=exchange) as client:
            for _ in range(2):
                with pytest.raises(NotAnswered, match="ZeroDivisionError") as raised:
                    client.ask(body(), timeout_s=WAIT_S)
                assert raised.value.code == Failure.CLOSED
                assert "question" not in str(raised.value)


def test_each_exchange_hears_one_partition_unless_it_is_told_another_place() -> None:
    def anywhere(record: Record) -> list[Outgoing]:
        topic = (dict(record.headers).get("reply-to") or b"").decode()
        return [each._replace(topic=f"/{topic}" if topic else each.topic) for each in answered(record)]

    with answering(anywhere) as cluster:
        cluster.create("/answers", 2)
        for place in (None, ReplyPlace(), ReplyPlace(None, 3), ReplyPlace("answers", 1)):
            exchange = Exchange(Settings(), cluster, place)
            with Client(Settings(), exchange=exchange) as client:
                assert client.ask(body(), timeout_s=WAIT_S).text == "Who?"
            assert exchange.place.partition in range(8) or place == ReplyPlace()
    assert len(cluster.topic("/answers").records[1]) == 1
    with pytest.raises(WrongSetup, match="reply partition 99"):
        Exchange(Settings(), MemoryCluster(now_ms), ReplyPlace(None, 99))


def test_responses_to_others_are_left_alone() -> None:
    def twice(record: Record) -> list[Outgoing]:
        (mine,) = answered(record)
        return [mine._replace(headers=((HEADER, b"somebody-0"),)), mine._replace(headers=()), mine]

    with answering(twice) as cluster, client_of(cluster) as client:
        assert client.ask(body(), timeout_s=WAIT_S).text == "Who?"


def test_asyncio_asks_many_and_streams_what_the_model_says_meanwhile() -> None:
    def chunk(text: str) -> dict[str, object]:
        return {"choices": [{"index": 0, "delta": {"content": text}}]}

    def live(record: Record) -> list[Outgoing]:
        wished = dict(record.headers).get(PROGRESS)
        if wished is None:
            return answered(record)
        partition, _, id_ = wished.decode().partition("/")
        place = ProgressPlace(partition=int(partition), id=id_)
        whole = Response(outcome=Outcome.MISS, body={"choices": [{"message": {"content": "one two three four"}}]})
        told = [piece(place, 1, chunk("one ")), piece(place, 1, chunk("two ")), piece(place, 2, chunk("never"))]
        return [*told, *reply_to(record, whole)]

    async def work(cluster: MemoryCluster) -> tuple[list[str], list[str]]:
        exchange = await asyncio.to_thread(Exchange, Settings(), cluster, progress=True)
        async with AsyncClient(Settings(), exchange=exchange) as client:
            found = await client.ask_all([body(f"{n}") for n in range(20)], timeout_s=WAIT_S, in_flight_max=5)
            pieces = [each async for each in client.stream(body(), timeout_s=WAIT_S)]
            assert client.under_way == 0
        return [each.text for each in found if not isinstance(each, NotAnswered)], pieces

    with answering(live) as cluster:
        texts, pieces = asyncio.run(work(cluster))
    assert texts == [str(n) for n in range(20)]
    assert pieces == ["one ", "two ", "three", " four"]


def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(NotAnswered, match="not open"):
        asyncio.run(_send())


async def _send() -> None:
    AsyncClient().send(body())


def test_progress_tells_one_thing() -> None:
    with pytest.raises(ValueError, match="either"):
        Progress()
    assert PROGRESS == "refrain-progress"


def test_the_library_loads_nothing_that_a_client_has_no_use_for() -> None:
    code = "import sys, refrain.streams.client; print([name for name in sys.argv[1:] if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
