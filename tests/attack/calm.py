"""Calm stream of good questions, asked at a steady rate while attacks run: who answers them, and in what time.

A question goes out when it is due, however long those before it wait: what an attack delays is not left out.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from pydantic import ValidationError

from refrain.ops.ask.questions import Defaults, answer_of, request_of
from refrain.ops.cluster.connection import client
from refrain.schemas.responses import Outcome, Response
from refrain.streams.client.sender import Sender
from refrain.streams.kafka.config import producer_config
from refrain.streams.kafka.convert import record_of
from refrain.streams.settings import Settings
from tests.attack.target import Target
from tests.attack.workers import Workers

HEADER = "refrain-calm-id"
QUESTIONS = 200
ROUND_S = 0.02
LOOK_S = 0.5
READ_S = 20.0


class Asked(NamedTuple):
    """A good question that waits."""

    text: str
    sent_s: float


class CalmFigures(NamedTuple):
    """What came of the questions that were sent between two moments; times in milliseconds."""

    asked: int
    answered: int
    wrong: int
    """Answered with an error, or with the answer to another question."""
    p50_ms: float
    p99_ms: float


class CalmStream:
    """Asks good questions in a thread of its own until it is closed."""

    def __init__(self, target: Target, workers: Workers, rate: float) -> None:
        self._settings: Settings = target.settings
        self._simulated = target.simulated
        self._workers = workers
        self._interval_s = 1 / rate
        self._id = uuid.uuid4().hex[:12]
        texts = [f"How do I fold a paper crane of {number} corners in Python?" for number in range(QUESTIONS)]
        self._requests = [request_of(text, Defaults("default", target.category, "calm")) for text in texts]
        self._texts = texts
        self._sender = Sender(self._settings, lambda: time.time_ns() // 1_000_000)
        base = client(self._settings)
        self._producer = Producer(producer_config(base))
        self._consumer = Consumer({**base, "group.id": f"{self._settings.prefix}ask", "enable.auto.commit": False})
        self._consumer.assign(self._ends())
        self._lock = threading.Lock()
        self._open: dict[int, Asked] = {}
        self._latency_ms: dict[int, float] = {}
        self._wrong: set[int] = set()
        self._sent = 0
        self._end = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def mark(self) -> int:
        """This moment, for `figures`."""
        return self._sent

    def figures(self, start: int, wait_s: float) -> CalmFigures:
        """What came of what was sent since `start`, once all of it is answered or `wait_s` is over."""
        end, until = self._sent, time.monotonic() + wait_s
        while any(number < end for number in list(self._open)) and time.monotonic() < until:
            time.sleep(ROUND_S)
        if self._failure is not None:
            raise self._failure
        with self._lock:
            found = sorted(self._latency_ms[number] for number in range(start, end) if number in self._latency_ms)
            wrong = sum(start <= number < end for number in self._wrong)
        return CalmFigures(end - start, len(found), wrong, _quantile(found, 0.5), _quantile(found, 0.99))

    def close(self) -> None:
        """Stop asking."""
        self._end.set()
        self._thread.join(READ_S)
        self._consumer.close()

    def _run(self) -> None:
        start_s, looked_s = time.monotonic(), 0.0
        try:
            while not self._end.is_set():
                while time.monotonic() >= start_s + self._sent * self._interval_s:
                    self._send()
                self._producer.poll(0)
                self._take(self._consumer.consume(500, ROUND_S))
                if time.monotonic() - looked_s > LOOK_S:
                    self._workers.look()
                    looked_s = time.monotonic()
        except Exception as problem:  # noqa: BLE001 - raised again where the figures are asked for
            self._failure = problem

    def _send(self) -> None:
        number = self._sent
        request = self._requests[number % QUESTIONS]
        ask_id, value = f"{self._id}-{number}".encode(), request.encode()
        key, headers = self._sender.addressed(request, ask_id, ((HEADER, ask_id),), value)
        self._open[number] = Asked(self._texts[number % QUESTIONS], time.perf_counter())
        self._sent = number + 1
        self._producer.produce(self._settings.prefix + self._settings.classify.topic, value, key, headers=list(headers))

    def _take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            ask_id = dict(record_of("responses", message).headers).get(HEADER) or b""
            mine, _, number = ask_id.decode(errors="replace").partition("-")
            if message.error() is None and mine == self._id and int(number) in self._open:
                self._answered(int(number), message.value() or b"")
            elif message.error() is not None and not _passing(message.error()):
                raise RuntimeError(f"the answers cannot be read: {message.error()}")

    def _answered(self, number: int, value: bytes) -> None:
        asked = self._open[number]
        with self._lock:
            self._latency_ms[number] = (time.perf_counter() - asked.sent_s) * 1_000
            if not self._is_right(asked, value):
                self._wrong.add(number)
        del self._open[number]

    def _is_right(self, asked: Asked, value: bytes) -> bool:
        try:
            response = Response.decode(value)
        except ValidationError:
            return False
        if response.outcome is Outcome.ERROR or response.body is None:
            return False
        return not self._simulated or answer_of(response.body).endswith(asked.text)

    def _ends(self) -> list[TopicPartition]:
        name = self._settings.prefix + "responses"
        places = [
            TopicPartition(name, n) for n in self._consumer.list_topics(name, timeout=READ_S).topics[name].partitions
        ]
        return [
            TopicPartition(name, place.partition, self._consumer.get_watermark_offsets(place, timeout=READ_S)[1])
            for place in places
        ]


def _passing(error: KafkaError | None) -> bool:
    return error is not None and (error.retriable() or error.code() == KafkaError._PARTITION_EOF)


def _quantile(values: Sequence[float], share: float) -> float:
    """A quantile of sorted values, 0 of none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0
