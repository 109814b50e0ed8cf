"""Request-reply client over Kafka: requests out, and their responses back, correlated by a header.

The responses are read from the ends of the topic as they are before the first request goes out, without a group:
a client leaves nothing behind. One thread does both, so a latency is from `produce` to the response in hand.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from pydantic import ValidationError

from refrain.ops.ask.sender import Sender
from refrain.ops.cluster.connection import client, create_client, missing, unreachable
from refrain.schemas.requests import Request
from refrain.schemas.responses import Response
from refrain.streams.kafka.config import producer_config
from refrain.streams.kafka.convert import record_of
from refrain.streams.kafka.offsets import known_offset

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

HEADER = "refrain-ask-id"
"""Carried back by the response, as all headers of a request are."""
WAIT_S_MAX = 0.05
BURST = 50
"""Requests sent before responses are looked for again."""
TAKE = 500

OnResponse = Callable[[int, Response, float], None]
"""Told of each first response: the request's place in the list, the response, its latency in milliseconds."""


@dataclass(frozen=True, slots=True)
class AskReply:
    """Reply to one request. Without a response `failure` says why."""

    number: int
    request: Request
    response: Response | None = None
    latency_ms: float | None = None
    failure: str | None = None


@dataclass(slots=True)
class _PendingRequest:
    number: int
    sent_s: float


class Client:
    """Request-reply client: asks and waits.

    `repeats` counts further responses to a question, `repeats_different` those of them that are not
    byte-identical to the first, `late` the first ones that came after the question was given up.
    """

    def __init__(self, settings: Settings, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Connect, and assign the end of `responses`; `headers` go with every request.

        Raises Unreachable, ClusterFailed or WrongSetup.
        """
        self._settings = settings
        self._headers = tuple(headers)
        self._requests = settings.prefix + settings.classify.topic
        self._sender = Sender(settings, lambda: time.time_ns() // 1_000_000)
        self._responses = settings.prefix + "responses"
        self._me = uuid.uuid4().hex[:16]
        self._closed = False
        self._asks = 0
        self._open: dict[bytes, _PendingRequest] = {}
        self._digests: dict[bytes, bytes] = {}
        self._refused: deque[tuple[bytes, str]] = deque()
        self.late = 0
        self.repeats = 0
        self.repeats_different = 0
        base = client(settings)
        self._producer = create_client(Producer, {**producer_config(base), "enable.idempotence": True})
        self._consumer = create_client(
            Consumer,
            {
                **base,
                "group.id": f"{settings.prefix}ask",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": 50,
                "fetch.error.backoff.ms": 20,
            },
        )
        try:
            self._consumer.assign(self._ends())
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Requests that are not acknowledged yet may be lost. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._producer.flush(1.0)
        # Its own `close` waits for a broker that may be gone.
        del self._producer
        self._consumer.close()

    def ask(
        self,
        requests: Sequence[Request],
        *,
        timeout_s: float = 60.0,
        on_response: OnResponse | None = None,
        rate: float | None = None,
        in_flight_max: int = 1_000,
    ) -> list[AskReply]:
        """Ask all and wait for each up to `timeout_s` from when it was sent; replies in the order of the requests.

        `rate` is requests a second, None as fast as `in_flight_max` allows. A request that is not answered
        in time, or that the broker refuses, gets a reply with a failure.
        """
        self._asks += 1
        run = RequestBatch(requests, timeout_s, rate, in_flight_max, on_response, time.perf_counter())
        while not run.is_done():
            self._send(run)
            self._take(run, run.wait_s(time.perf_counter(), len(self._open)))
            self._give_up(run)
        return [reply if reply is not None else AskReply(n, requests[n]) for n, reply in enumerate(run.replies)]

    def in_flight(self) -> list[int]:
        """Places in the list of the requests that wait for a response; any thread may ask."""
        return [asked.number for asked in list(self._open.values())]

    def listen(self, seconds: float) -> None:
        """Read on for a while, to count repeated responses."""
        end = time.perf_counter() + seconds
        run = RequestBatch((), 0.0, None, 1, None, 0.0)
        while (left := end - time.perf_counter()) > 0:
            self._take(run, min(left, WAIT_S_MAX))

    def _send(self, run: RequestBatch) -> None:
        for _ in range(BURST):
            now = time.perf_counter()
            if not run.may_send(now, len(self._open)):
                break
            number = run.sent
            ask_id = f"{self._me}-{self._asks}-{number}".encode()
            run.sent += 1
            run.order.append((ask_id, now))
            self._open[ask_id] = _PendingRequest(number, now)
            self._produce(ask_id, run.requests[number])
        self._producer.poll(0)

    def _produce(self, ask_id: bytes, request: Request) -> None:
        def reported(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._refused.append((ask_id, f"not sent: {error.str()}"))

        value = request.encode()
        key, headers = self._sender.addressed(request, ask_id, [(HEADER, ask_id), *self._headers], value)
        while True:
            try:
                self._producer.produce(self._requests, value, key, headers=list(headers), on_delivery=reported)
                return
            except BufferError:
                self._producer.poll(WAIT_S_MAX)
            except KafkaException as problem:
                self._refused.append((ask_id, f"not sent: {problem.args[0].str()}"))
                return

    def _take(self, run: RequestBatch, wait_s: float) -> None:
        first = self._consumer.poll(wait_s)
        if first is None:
            return
        now = time.perf_counter()
        for message in (first, *self._consumer.consume(TAKE, 0)):
            if message.error() is None:
                self._take_one(run, message, now)

    def _take_one(self, run: RequestBatch, message: Message, now: float) -> None:
        ask_id = _ask_id(message)
        if ask_id is None or not ask_id.startswith(self._me.encode()):
            return
        value = message.value() or b""
        digest = hashlib.blake2b(value, digest_size=16).digest()
        asked = self._open.pop(ask_id, None)
        known = self._digests.get(ask_id)
        if known is not None:
            self.repeats += 1
            self.repeats_different += known != digest
            return
        self._digests[ask_id] = digest
        if asked is None:
            self.late += 1
            return
        latency_ms = (now - asked.sent_s) * 1_000
        request = run.requests[asked.number]
        try:
            response = Response.decode(value)
        except ValidationError as error:
            run.close(AskReply(asked.number, request, None, latency_ms, f"not a response: {error.errors()[0]['msg']}"))
            return
        run.close(AskReply(asked.number, request, response, latency_ms))
        if run.on_response is not None:
            run.on_response(asked.number, response, latency_ms)

    def _give_up(self, run: RequestBatch) -> None:
        while self._refused:
            ask_id, why = self._refused.popleft()
            self._fail(run, ask_id, why)
        deadline = time.perf_counter() - run.timeout_s
        while run.order and (run.order[0][1] < deadline or run.order[0][0] not in self._open):
            ask_id, _ = run.order.popleft()
            self._fail(run, ask_id, f"no response within {run.timeout_s:g} s: is `refrain run all` running?")

    def _fail(self, run: RequestBatch, ask_id: bytes, why: str) -> None:
        asked = self._open.pop(ask_id, None)
        if asked is not None:
            run.close(AskReply(asked.number, run.requests[asked.number], None, None, why))

    def _ends(self) -> list[TopicPartition]:
        timeout_s = self._settings.connect_timeout_ms / 1_000
        try:
            topics = self._consumer.list_topics(timeout=timeout_s).topics
            for name in (self._requests, self._responses):
                if name not in topics or topics[name].error is not None:
                    raise missing(self._settings, name)
            places = [TopicPartition(self._responses, number) for number in sorted(topics[self._responses].partitions)]
            return [
                TopicPartition(p.topic, p.partition, known_offset(end, f"{p.topic}[{p.partition}]"))
                for p in places
                for _, end in [self._consumer.get_watermark_offsets(p, timeout_s)]
            ]
        except KafkaException as problem:
            raise unreachable(self._settings, problem) from problem


class RequestBatch:
    """Request batch of one call of `ask`: pacing, requests in flight, and the replies so far."""

    def __init__(
        self,
        requests: Sequence[Request],
        timeout_s: float,
        rate: float | None,
        in_flight_max: int,
        on_response: OnResponse | None,
        start_s: float,
    ) -> None:
        self.requests = requests
        self.timeout_s = timeout_s
        self.on_response = on_response
        self.sent = 0
        self.order: deque[tuple[bytes, float]] = deque()
        self.replies: list[AskReply | None] = [None] * len(requests)
        self._closed = 0
        self._interval_s = 1.0 / rate if rate else 0.0
        self._in_flight_max = in_flight_max
        self._start_s = start_s

    def is_done(self) -> bool:
        return self._closed == len(self.requests)

    def may_send(self, now: float, in_flight: int) -> bool:
        return self.sent < len(self.requests) and in_flight < self._in_flight_max and now >= self._due_s()

    def wait_s(self, now: float, in_flight: int) -> float:
        """Longest wait (s) for responses before the next request is due."""
        if self.sent == len(self.requests) or in_flight >= self._in_flight_max:
            return WAIT_S_MAX
        return min(WAIT_S_MAX, max(0.0, self._due_s() - now))

    def close(self, reply: AskReply) -> None:
        self.replies[reply.number] = reply
        self._closed += 1

    def _due_s(self) -> float:
        return self._start_s + self.sent * self._interval_s


def _ask_id(message: Message) -> bytes | None:
    # Names of headers that are no UTF-8 are somebody else's.
    return next((value for name, value in record_of("responses", message).headers if name == HEADER), None)
