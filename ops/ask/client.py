"""Asks many requests through Kafka at a pace, and counts what the service repeats.

It stands on the client library's exchange: its thread reads, this one sends, and a latency is from `produce` to the
response in hand.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from refrain.ops.cluster.connection import reach
from refrain.schemas.progress import Progress
from refrain.schemas.requests import Request
from refrain.schemas.responses import Response
from refrain.streams.client.exchange import DELIVERY_TIMEOUT_MS, Exchange, Extra, ReplyPlace
from refrain.streams.client.exchange import HEADER as HEADER
from refrain.streams.client.reply import NotAnswered, Reply
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.traces.loading import traces_of

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

WAIT_S_MAX = 0.05
BURST = 50
"""Requests sent before responses are looked for again."""

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


class _Arrived(NamedTuple):
    """What came of a request, as the exchange's thread hands it on."""

    key: tuple[int, int]
    """The call of `ask`, and the place in its list."""
    result: Reply | NotAnswered


class _Listener:
    """Hands on what comes of one request."""

    def __init__(self, client: Client, key: tuple[int, int]) -> None:
        self._client, self._key = client, key

    def replied(self, reply: Reply) -> None:
        self._client.arrived.put(_Arrived(self._key, reply))

    def progressed(self, progress: Progress) -> None:
        return

    def failed(self, why: NotAnswered) -> None:
        self._client.arrived.put(_Arrived(self._key, why))


class Client:
    """Request-reply client: asks and waits.

    `repeats` counts further responses to a question, `repeats_different` those of them that are not
    byte-identical to the first, `late` the first ones that came after the question was given up.
    """

    def __init__(
        self,
        settings: Settings,
        headers: Sequence[tuple[str, bytes]] = (),
        *,
        delivery_timeout_ms: int = DELIVERY_TIMEOUT_MS,
    ) -> None:
        """Connect, and read from the end of `responses`; `headers` go with every request.

        A request that the broker has not taken within `delivery_timeout_ms` is not sent any more.

        Raises Unreachable, ClusterFailed or WrongSetup.
        """
        reach(settings)
        self._headers = tuple(headers)
        self.arrived: SimpleQueue[_Arrived | Extra] = SimpleQueue()
        self._asks = 0
        self._open: dict[tuple[int, int], bytes] = {}
        self._digests: dict[bytes, bytes] = {}
        self.late = 0
        self.repeats = 0
        self.repeats_different = 0
        with ExitStack() as opened:
            traces = opened.enter_context(traces_of(settings, "ask"))
            cluster = KafkaCluster(settings)
            opened.callback(cluster.close)
            self._exchange = Exchange(
                settings,
                cluster,
                ReplyPlace(),
                group="ask",
                first=self._note_first,
                extra=self.arrived.put,
                traces=traces,
                delivery_timeout_ms=delivery_timeout_ms,
            )
            self._opened = opened.pop_all()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Requests that are not acknowledged yet may be lost. A second call does nothing."""
        self._exchange.close()
        self._opened.close()

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
        return [number for _, number in list(self._open)]

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
            key = (self._asks, run.sent)
            run.order.append((key, now))
            request = run.requests[run.sent]
            run.sent += 1
            self._open[key] = self._exchange.send(request, _Listener(self, key), self._headers)

    def _take(self, run: RequestBatch, wait_s: float) -> None:
        try:
            self._take_one(run, self.arrived.get(timeout=wait_s) if wait_s > 0 else self.arrived.get_nowait())
            while True:
                self._take_one(run, self.arrived.get_nowait())
        except Empty:
            return

    def _take_one(self, run: RequestBatch, arrived: _Arrived | Extra) -> None:
        if isinstance(arrived, Extra):
            self._count(arrived)
            return
        if self._open.pop(arrived.key, None) is None:
            # It came while the question was given up.
            self.late += isinstance(arrived.result, Reply)
            return
        number = arrived.key[1]
        result = arrived.result
        if isinstance(result, NotAnswered):
            run.close(AskReply(number, run.requests[number], None, None, str(result.args[0])))
            return
        run.close(AskReply(number, result.request, result.response, result.latency_ms))
        if run.on_response is not None:
            run.on_response(number, result.response, result.latency_ms)

    def _note_first(self, id_: bytes, value: bytes) -> None:
        self._digests[id_] = _digest(value)

    def _count(self, extra: Extra) -> None:
        known = self._digests.get(extra.id)
        if known is None:
            self.late += 1
            self._digests[extra.id] = _digest(extra.value)
        else:
            self.repeats += 1
            self.repeats_different += known != _digest(extra.value)

    def _give_up(self, run: RequestBatch) -> None:
        deadline = time.perf_counter() - run.timeout_s
        while run.order and (run.order[0][1] < deadline or run.order[0][0] not in self._open):
            key, _ = run.order.popleft()
            id_ = self._open.pop(key, None)
            if id_ is not None:
                self._exchange.forget(id_)
                why = f"no response within {run.timeout_s:g} s: is `refrain run all` running?"
                run.close(AskReply(key[1], run.requests[key[1]], None, None, why))


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
        self.order: deque[tuple[tuple[int, int], float]] = deque()
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


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=16).digest()
