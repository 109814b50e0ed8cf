"""`/v1/chat/completions`: from the cache, from the model through it, or straight from the model.

The cache is asked first. It says within `edge.cache_wait_ms` what it has decided, or the model is called without it;
one that waits for a model is told so at once, and gets the answer in pieces as the connector makes them. So the
connector calls the model and keeps the whole answer, whoever leaves in between, and its retries, load and limits hold
for streams too.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse

from refrain.schemas.decisions import Reason
from refrain.schemas.progress import Progress
from refrain.schemas.requests import CacheMode, Request
from refrain.streams import time_of_day
from refrain.streams.addresses import CHAT_PATH
from refrain.streams.client.asyncio_client import AsyncClient, Pending
from refrain.streams.client.reply import Failure, NotAnswered, Reply
from refrain.streams.edge import events
from refrain.streams.edge.http import Streamed, until_gone
from refrain.streams.edge.live import LiveChunks
from refrain.streams.edge.metrics import EdgeMetrics
from refrain.streams.edge.past_cache import PastCache
from refrain.streams.edge.problems import OPENED, UNFIT, HttpProblem, problem_of
from refrain.streams.edge.upstream import Upstream, parts_of, passed_back
from refrain.streams.edge.wishes import Wishes, told
from refrain.streams.errors import RefusalCode
from refrain.streams.messaging.chunks import chunks_of
from refrain.streams.messaging.reply_headers import traced
from refrain.streams.settings import Edge
from refrain.streams.traces.interface import CONTEXT_HEADERS, OFF, Span, Traces

TOO_LARGE = RefusalCode.TOO_LARGE.value
CLOCK_S = 5.0
"""A deadline that the cache takes for over while so much of it is left here tells of a clock, not of a delay."""
AnyResponse = HttpResponse | Streamed


class Asked(NamedTuple):
    """A chat request over HTTP."""

    http: HttpRequest
    data: bytes
    """The body as it came: that is what the model's server gets where the cache is left out."""
    body: dict[str, Any]
    request: Request | None
    """What is asked of the cache; None where it takes no such request."""
    wishes: Wishes
    until_s: float
    began_s: float
    span: Span | None = None
    """Its span, where it is traced."""
    unfit: str = TOO_LARGE
    """Why the cache is not asked, where it is not."""

    @property
    def left_s(self) -> float:
        """How long the client still waits (seconds)."""
        return max(0.0, self.until_s - time.monotonic())

    @property
    def streams(self) -> bool:
        """Whether the answer is to be streamed."""
        return self.body.get("stream") is True

    @property
    def with_usage(self) -> bool:
        """Whether a stream is to end with the usage."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True


def asked_of(
    http: HttpRequest,
    data: bytes,
    body: dict[str, Any],
    tenant: str,
    wishes: Wishes,
    settings: Edge,
    request_id: str | None = None,
) -> Asked:
    """A chat request of a tenant. Raises HttpProblem(400) for fields that the contract does not take."""
    began_s, wait_ms = time.monotonic(), _wait_ms(wishes, settings)
    sent = {key: value for key, value in body.items() if key not in ("stream", "stream_options")}
    try:
        request = Request(
            request_id=request_id,
            tenant=tenant,
            cache=wishes.cache,
            body=sent,
            deadline_at_ms=time_of_day.now_ms() + wait_ms,
            **wishes.fields,
        )
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise HttpProblem(400, "bad_field", f"{where}: {first['msg']}", param=where) from None
    return Asked(http, data, body, request, wishes, began_s + wait_ms / 1_000, began_s)


def large_of(http: HttpRequest, data: bytes, wishes: Wishes, settings: Edge) -> Asked:
    """A chat request that is too large for the cache, and that nobody reads here."""
    began_s = time.monotonic()
    return Asked(http, data, {}, None, wishes, began_s + _wait_ms(wishes, settings) / 1_000, began_s)


def _wait_ms(wishes: Wishes, settings: Edge) -> int:
    return settings.timeout_ms if wishes.deadline_ms is None else wishes.deadline_ms


class Chat:
    """Answers chat requests: by a client of Refrain, and by the model's server where that must do."""

    def __init__(
        self, client: AsyncClient, upstream: Upstream, settings: Edge, metrics: EdgeMetrics, traces: Traces = OFF
    ) -> None:
        self._client = client
        self._traces = traces
        self._upstream = upstream
        self._settings = settings
        self._metrics = metrics

    def may_pass(self, wishes: Wishes) -> bool:
        """Whether a request that the cache does not take may go to the model without it."""
        return wishes.cache is not CacheMode.ONLY and self._upstream.known

    async def answer(self, asked: Asked) -> AnyResponse:
        """The response to a chat request. Raises HttpProblem, and ClientDisconnect when nobody waits any more."""
        if asked.request is None:
            return await self._without_cache(asked, asked.unfit)
        try:
            pending = self._client.send(asked.request, progress=True, headers=traced(self._traces, asked.span))
        except NotAnswered as why:
            return await self._without_cache(asked, why.code)
        handed_on = False
        try:
            first = await until_gone(asked.http.receive, self._first(asked, pending))
            if isinstance(first, str):
                return await self._without_cache(asked, first)
            if isinstance(first, Progress) and asked.streams:
                handed_on = True
                return self._live(asked, pending, first)
            if isinstance(first, Progress):
                first = await until_gone(asked.http.receive, self._reply(asked, pending))
                if isinstance(first, str):
                    return await self._without_cache(asked, first)
            return self._whole(asked, first)
        finally:
            if not handed_on:
                pending.cancel()

    async def _first(self, asked: Asked, pending: Pending) -> Reply | Progress | str:
        """What is heard first: the reply, or how it was decided; else the reason to go without the cache."""
        wait_s = min(self._settings.cache_wait_ms / 1_000, asked.left_s)
        try:
            heard = await pending.next(wait_s)
        except NotAnswered as why:
            return why.code
        if heard is None:
            if asked.left_s <= 0:
                raise _too_late()
            return PastCache.SILENT.value
        return self._reason_to_open(asked, heard) or heard if isinstance(heard, Reply) else heard

    async def _reply(self, asked: Asked, pending: Pending) -> Reply | str:
        """The reply to what waits for a model; else the reason to go without the cache."""
        try:
            reply = await pending.reply(asked.left_s)
        except NotAnswered as why:
            if why.code == Failure.NO_RESPONSE:
                raise _too_late() from None
            return why.code
        return self._reason_to_open(asked, reply) or reply

    def _reason_to_open(self, asked: Asked, reply: Reply) -> str | None:
        """The code of an error for which the model is asked without the cache: it is the cache's, or its bounds'.

        `clock_behind` is for a deadline that was over when the request came there, and is not by what went by here.
        """
        error, decision = reply.response.error, reply.decision
        if error is None:
            return None
        if (
            error.code == RefusalCode.DEADLINE.value
            and decision is not None
            and decision.reason == Reason.DEADLINE_PASSED.value
            and asked.left_s > CLOCK_S
        ):
            return PastCache.CLOCK.value
        is_unfit = error.code in UNFIT and self.may_pass(asked.wishes)
        return error.code if error.code in OPENED or is_unfit else None

    def _whole(self, asked: Asked, reply: Reply) -> AnyResponse:
        """The response of a reply, streamed where it is to be."""
        headers = told(reply.outcome.value, reply.decision)
        self._count(asked, reply.outcome.value)
        error = reply.response.error
        if error is not None:
            raise problem_of(error, headers)
        if not asked.streams:
            return HttpResponse(to_json(reply.body), 200, headers, "application/json")
        return self._streamed(headers, _replayed(reply, with_usage=asked.with_usage))

    def _live(self, asked: Asked, pending: Pending, first: Progress) -> Streamed:
        """The stream of an answer that a model is asked for."""
        outcome = "bypass" if first.outcome is None else first.outcome.value
        self._count(asked, outcome)
        return self._streamed(told(outcome, first.decision), self._live_parts(asked, pending, first))

    async def _live_parts(self, asked: Asked, pending: Pending, first: Progress) -> AsyncIterator[bytes]:
        live = LiveChunks(with_usage=asked.with_usage)
        try:
            heard: Reply | Progress | None = first
            while not isinstance(heard, Reply):
                if heard is not None and (chunk := live.take(heard)) is not None:
                    yield events.event(chunk)
                elif heard is None:
                    if asked.left_s <= 0:
                        raise _too_late()
                    yield events.KEEP_ALIVE
                heard = await pending.next(min(self._settings.keep_alive_ms / 1_000, asked.left_s))
            error = heard.response.error
            if error is not None:
                raise problem_of(error, {})
            for chunk in live.rest(heard.body):
                yield events.event(chunk)
        except HttpProblem as problem:
            # The status is sent: the error is the last thing that a client hears.
            yield events.event(problem.body())
        except NotAnswered as why:
            yield events.event(HttpProblem(503, why.code, str(why.args[0])).body())
        finally:
            pending.cancel()
        yield events.DONE

    async def _without_cache(self, asked: Asked, reason: str) -> AnyResponse:
        """The model's own response. Raises HttpProblem where the client wants none, or there is no server to ask."""
        if asked.wishes.cache is CacheMode.ONLY:
            text = "the cache does not answer, and the request wants no model to be called: ask again later"
            raise HttpProblem(
                503, "cache_unavailable", text, headers={**told("error", None, reason), "retry-after": "1"}
            )
        self._metrics.direct.labels(_past_cache(reason).value).inc()
        headers = told("bypass", None, reason)
        http, span = asked.http, None if asked.span is None else asked.span.child("upstream", "client")
        try:
            response = await until_gone(
                http.receive, self._upstream.call("POST", CHAT_PATH, b"", _sent_on(http, span), asked.data)
            )
        except HttpProblem as problem:
            problem.headers |= headers
            if span is not None:
                span.fail(problem.code)
            raise
        else:
            if span is not None:
                span.tell(status=response.status_code, silent=reason == PastCache.SILENT)
        finally:
            if span is not None:
                span.end()
        self._count(asked, "bypass")
        return self._streamed({**passed_back(response.headers), **headers}, parts_of(response), response.status_code)

    def _streamed(self, headers: dict[str, str], parts: AsyncIterator[bytes], status: int | None = None) -> Streamed:
        """A response in parts: events of this endpoint, or with a `status` those of another server."""
        sent = {**events.HEADERS, **headers} if status is None else headers
        return Streamed(status or 200, sent, parts)

    def _count(self, asked: Asked, outcome: str) -> None:
        self._metrics.outcomes.labels(outcome).inc()
        if asked.span is not None:
            asked.span.tell(outcome=outcome)
        self._metrics.seconds.labels(outcome).observe(time.monotonic() - asked.began_s)


def _past_cache(reason: str) -> PastCache:
    """What a reason to leave the cache out is counted as: codes are many, labels few."""
    if reason in (PastCache.SILENT, PastCache.CLOCK):
        return PastCache(reason)
    return PastCache.UNFIT if reason in UNFIT else PastCache.FAILED


def _sent_on(http: HttpRequest, span: Span | None) -> list[tuple[str, str]]:
    """The headers of a request for the model's server, which goes on with the trace."""
    headers = list(http.headers.items())
    if span is None:
        return headers
    context = [(name, (value or b"").decode("ascii")) for name, value in span.headers]
    return [*((name, value) for name, value in headers if name.lower() not in CONTEXT_HEADERS), *context]


async def _replayed(reply: Reply, *, with_usage: bool) -> AsyncIterator[bytes]:
    for chunk in chunks_of(reply.body, with_usage=with_usage):
        yield events.event(chunk)
    yield events.DONE


def _too_late() -> HttpProblem:
    return HttpProblem(504, "deadline_exceeded", "no answer came in time: ask again, or wait longer")
