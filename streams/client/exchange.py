"""The exchange: requests out, and what comes back for each, matched by a header.

One thread reads the responses from the end of their topic as it was before the first request, in no group: a client
leaves nothing behind. Whoever sends does not wait; a `Listener` hears what comes, on the exchange's thread.
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from refrain.schemas.progress import Progress, ProgressPlace
from refrain.schemas.requests import Request
from refrain.schemas.responses import Response
from refrain.streams import time_of_day
from refrain.streams.client.reply import Failure, NotAnswered, Reply
from refrain.streams.client.sender import Sender
from refrain.streams.errors import RefrainError, RefusalCode, WrongSetup
from refrain.streams.kafka.interface import Cluster, Headers, Outgoing, Record
from refrain.streams.kafka.names import TENANT_TOPICS
from refrain.streams.messaging.own_topics import RESPONSES
from refrain.streams.messaging.progress import ID_HEADER, progress_header
from refrain.streams.messaging.progress import TOPIC as PROGRESS
from refrain.streams.messaging.reply_headers import PARTITION_HEADER, TOPIC_HEADERS, traced
from refrain.streams.runtime.barrier import unforeseen
from refrain.streams.settings import Settings
from refrain.streams.traces.interface import OFF, Span, Traces, with_context

HEADER = "refrain-ask-id"
"""Carried back by the response, as all headers of a request are."""
POLL_S = 0.05
TAKE = 500
DELIVERY_TIMEOUT_MS = 30_000
"""A request that the broker has not taken by then is not sent any more."""
CLOSE_WAIT_S = 2.0
LOOK_EVERY_S = 1.0
GIVEN_UP = "given_up"
"""What the span of a request tells that nobody waits for any more."""
NO_JSON = "the request has no JSON: a text holds half of a surrogate pair, or a value is of a type of Python's own"

logger = logging.getLogger(__name__)


class ReplyPlace(NamedTuple):
    """Where responses go: a topic (its whole name, None: `responses`), and one partition of it, or any (None)."""

    topic: str | None = None
    partition: int | None = None


class Listener(Protocol):
    """Hears what becomes of one request: a reply or a failure, once.

    It is called on the exchange's thread: it must be quick, and raise nothing.
    """

    def replied(self, reply: Reply) -> None: ...
    def progressed(self, progress: Progress) -> None:
        """Hears more often, before all else, of what it asked to be told."""

    def failed(self, why: NotAnswered) -> None: ...


class Extra(NamedTuple):
    """A response that nobody waits for: a repeat, or a late one. `id` is that of its request."""

    id: bytes
    value: bytes


@dataclass(slots=True)
class _Open:
    request: Request
    listener: Listener
    sent_s: float
    span: Span | None


class Exchange:
    """An exchange by one producer and one reader. `clock` gives seconds, `now_ms` the time of day."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        place: ReplyPlace | None = None,
        *,
        group: str = "clients-ask",
        topic_of_tenant: bool = False,
        progress: bool = False,
        first: Callable[[bytes, bytes], None] = lambda id_, value: None,
        extra: Callable[[Extra], None] = lambda extra: None,
        clock: Callable[[], float] = time.perf_counter,
        now_ms: Callable[[], int] = time_of_day.now_ms,
        traces: Traces = OFF,
        delivery_timeout_ms: int = DELIVERY_TIMEOUT_MS,
    ) -> None:
        """Connect, and read from the end of where responses come. Without a `place` one partition is drawn by lot.

        A request that the broker has not taken within `delivery_timeout_ms` is not sent any more. `group` is the name,
        without the prefix, by whose rights it reads. With `topic_of_tenant`, where topics tell whose requests are, each
        goes to the topic of its own tenant and not to the one of the settings. With `progress` a partition of that
        topic is read too. `first` hears id and bytes of each response that is waited for, `extra` of every other one.
        `traces` has a span for each request. Raises WrongSetup, Forbidden or Unanswered.
        """
        self._settings = settings
        self._clock = clock
        self._first = first
        self._extra = extra
        self._traces = traces
        self._sender = Sender(settings, now_ms)
        self._by_topic = topic_of_tenant and settings.classify.tenants == "topic"
        self._me = uuid.uuid4().hex[:16].encode()
        self._numbers = itertools.count()
        self._open: dict[bytes, _Open] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.behind = 0
        """Responses that are there and not heard yet, as of a second ago."""
        self._look_s = float("-inf")
        self.problem: RefrainError | None = None
        """Why the exchange cannot go on, None while it does."""
        topic = RESPONSES if place is None or place.topic is None else f"/{place.topic}"
        partitions = cluster.partitions(topic)
        self.place = ReplyPlace(None, random.randrange(partitions)) if place is None else place
        only = self.place.partition
        if only is not None and not 0 <= only < partitions:
            raise WrongSetup(f"the reply partition {only} is none of the topic's {partitions}: name one from 0 on")
        if not self._by_topic:
            cluster.partitions(settings.classify.topic)
        self._headers = _reply_headers(self.place)
        places: dict[str, list[int] | None] = {topic: None if only is None else [only]}
        self._progress: int | None = None
        if progress:
            self._progress = (random.randrange(partitions) if only is None else only) % cluster.partitions(PROGRESS)
            places[PROGRESS] = [self._progress]
        self._tail = cluster.tail(places, group)
        self._poster = cluster.poster(delivery_timeout_ms=delivery_timeout_ms)
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)
        self._thread.start()

    def send(self, request: Request, listener: Listener, headers: Headers = (), *, progress: bool = False) -> bytes:
        """Send a request with these headers beside the exchange's own; returns the id by which it can be forgotten.

        With `progress` the listener hears of it before the response, if the exchange reads that; of a request that
        cannot be written it hears at once. Raises NotAnswered(CLOSED) when the exchange has ended.
        """
        id_ = self._me + b"-%d" % next(self._numbers)
        try:
            value = request.encode()
        except PydanticSerializationError:
            listener.failed(NotAnswered(RefusalCode.BAD_FIELD, NO_JSON))
            return id_
        span = self._traces.begin("request", headers, "client", root=True)
        context = traced(self._traces, span)
        if context:
            headers = with_context(headers, context)
        mine = (*headers, *self._headers, (HEADER, id_))
        if progress and self._progress is not None:
            mine = (*mine, progress_header(ProgressPlace(partition=self._progress, id=id_.decode("ascii"))))
        key, signed = self._sender.addressed(request, id_, mine, value)
        with self._lock:
            if self._closing.is_set():
                raise NotAnswered(Failure.CLOSED, str(self.problem or "the client is closed: make a new one"))
            self._open[id_] = _Open(request, listener, self._clock(), span)
        topic = self._settings.classify.topic
        if self._by_topic:
            topic = TENANT_TOPICS + request.tenant
        self._poster.post(Outgoing(topic, key, value, signed), lambda why: self._not_sent(id_, why))
        return id_

    def forget(self, id_: bytes) -> None:
        """Wait no more for the response to a request."""
        with self._lock:
            left = self._open.pop(id_, None)
        if left is not None and left.span is not None:
            left.span.fail(GIVEN_UP)
            left.span.end()

    @property
    def open(self) -> int:
        """The number of requests that wait for a response."""
        return len(self._open)

    def close(self) -> None:
        """Stop; requests that still wait fail. A second call does nothing."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_WAIT_S)
        self._end("the client was closed")

    # --- on the thread of the exchange

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                records = self._tail.poll(TAKE, POLL_S)
                now_s = self._clock()
                # What was said before a response is heard before it, though the topics know no common order.
                for record in sorted(records, key=_is_response):
                    self._take(record, now_s)
                self._poster.poll()
                self._look(now_s)
        except Exception as error:  # noqa: BLE001 - whoever waits is to hear of it, whatever it is
            problem = error if isinstance(error, RefrainError) else unforeseen(error)
            logger.warning("the exchange ends: %s", type(error).__name__)
            self.problem = problem
            self._closing.set()
            self._end(str(problem))
        finally:
            self._tail.close()
            self._poster.close()

    def _look(self, now_s: float) -> None:
        """Look now and then how many responses wait to be heard."""
        if now_s - self._look_s >= LOOK_EVERY_S:
            self._look_s = now_s
            self.behind = sum(records for (topic, _), records in self._tail.lag().items() if topic != PROGRESS)

    def _take(self, record: Record, now_s: float) -> None:
        if record.topic == PROGRESS:
            self._tell_progress(record)
            return
        id_ = next((value for name, value in record.headers if name == HEADER), None)
        if id_ is None or not id_.startswith(self._me):
            return
        asked, value = self._open.get(id_), record.value or b""
        if asked is None:
            self._extra(Extra(id_, value))
            return
        self._first(id_, value)
        with self._lock:
            self._open.pop(id_, None)
        try:
            response = Response.decode(value)
        except ValidationError as error:
            text = f"not a response: {error.errors(include_url=False, include_input=False)[0]['msg']}"
            _fail(asked, NotAnswered(Failure.NOT_READ, text))
            return
        if asked.span is not None:
            _finish(asked.span, response)
        asked.listener.replied(Reply(asked.request, response, (now_s - asked.sent_s) * 1_000))

    def _tell_progress(self, record: Record) -> None:
        id_ = next((value for name, value in record.headers if name == ID_HEADER), None)
        asked = None if id_ is None else self._open.get(id_)
        if asked is None:
            return
        try:
            asked.listener.progressed(Progress.decode(record.value or b""))
        except ValidationError:
            # Of a newer version: nothing relies on it.
            return

    def _not_sent(self, id_: bytes, why: str) -> None:
        with self._lock:
            asked = self._open.pop(id_, None)
        if asked is not None:
            _fail(asked, NotAnswered(Failure.NOT_SENT, f"not sent: {why}"))

    def _end(self, why: str) -> None:
        with self._lock:
            left, self._open = list(self._open.values()), {}
        for asked in left:
            _fail(asked, NotAnswered(Failure.CLOSED, why))


def _finish(span: Span, response: Response) -> None:
    span.tell(outcome=response.outcome.value)
    if response.error is not None:
        span.fail(response.error.code)
    span.end()


def _fail(asked: _Open, why: NotAnswered) -> None:
    if asked.span is not None:
        asked.span.fail(why.code)
        asked.span.end()
    asked.listener.failed(why)


def _is_response(record: Record) -> bool:
    return record.topic != PROGRESS


def _reply_headers(place: ReplyPlace) -> Headers:
    headers: list[tuple[str, bytes | None]] = []
    if place.topic is not None:
        headers.append((TOPIC_HEADERS[0], place.topic.encode()))
    if place.partition is not None:
        headers.append((PARTITION_HEADER, str(place.partition).encode()))
    return tuple(headers)
