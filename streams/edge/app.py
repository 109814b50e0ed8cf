"""The application: routes, who is let in, and how much is worked at a time."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from refrain.schemas.responses import Problem
from refrain.streams.client.asyncio_client import AsyncClient
from refrain.streams.edge.access import Access
from refrain.streams.edge.body import TAKEN, Room, chat_body, plain, read_body, too_large
from refrain.streams.edge.chat import AnyResponse, Chat, asked_of, large_of
from refrain.streams.edge.connection import HEAD_BYTES_MAX
from refrain.streams.edge.http import Streamed, until_gone
from refrain.streams.edge.metrics import EdgeMetrics
from refrain.streams.edge.origin_form import OriginForm
from refrain.streams.edge.problems import UNFIT, HttpProblem, headers_too_large, overloaded, problem_of
from refrain.streams.edge.request_ids import RequestIds, request_id_of
from refrain.streams.edge.upstream import Upstream, parts_of, passed_back
from refrain.streams.edge.wishes import told, wishes_of
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Headers
from refrain.streams.messaging.parsing import check_depth
from refrain.streams.messaging.questions import check_length, question_of
from refrain.streams.runtime.barrier import unforeseen
from refrain.streams.settings import Settings
from refrain.streams.traces.interface import OFF, Span, Traces

Handler = Callable[[Request], Awaitable[AnyResponse]]

SPAN = "refrain.span"
"""Where the scope of a request has its span, if it has one."""
METHODS = ["GET", "POST", "DELETE"]
SIMULATED = {"object": "list", "data": [{"id": "default", "object": "model", "created": 0, "owned_by": "refrain"}]}
"""The models of a Refrain whose model is simulated: it answers by any name."""
_PATH = re.compile(r"/v1((?:/[A-Za-z0-9._~:@%+-]+)+)")

logger = logging.getLogger(__name__)


class Endpoint:
    """The endpoint's handlers. `ready` tells whether it can do its work."""

    def __init__(
        self,
        settings: Settings,
        client: AsyncClient,
        upstream: Upstream,
        access: Access,
        metrics: EdgeMetrics,
        ready: Callable[[], bool] = lambda: True,
        traces: Traces = OFF,
    ) -> None:
        self._settings = settings.edge
        self._classify = settings.classify
        self._traces = traces
        self._simulated = settings.upstream.connector == "simulated"
        self._chat = Chat(client, upstream, settings.edge, metrics, traces)
        self._upstream = upstream
        self._access = access
        self._metrics = metrics
        self._ready = ready
        self.open = 0
        """Requests under way, streams too."""
        self.room = Room(settings.edge)

    def app(self) -> Starlette:
        """The application."""
        app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._bounded("chat", self._complete), methods=["POST"]),
                Route("/v1/models", self._bounded("models", self._models), methods=["GET"]),
                Route("/v1/{path:path}", self._bounded("other", self._pass), methods=METHODS),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
            ],
            exception_handlers={404: _unknown, 405: _unknown},
            middleware=[Middleware(OriginForm), Middleware(RequestIds)],
        )
        # A client that is sent elsewhere may come without its body.
        app.router.redirect_slashes = False
        return app

    async def _complete(self, request: Request) -> AnyResponse:
        tenant = await self._tenant(request)
        wishes = wishes_of(_headers(request))
        plain(request)
        data = await self._read(request)
        may_pass = self._chat.may_pass(wishes)
        if len(data) <= self._settings.body_bytes_max:
            id_, body = request_id_of(request.scope), chat_body(data)
            asked = asked_of(request, data, body, tenant, wishes, self._settings, id_)
            refusal = self._refusal(data, body)
            if refusal is not None and not (may_pass and refusal.code.value in UNFIT):
                raise problem_of(Problem(code=refusal.code.value, message=refusal.text), told("error", None))
            if refusal is not None:
                asked = asked._replace(request=None, unfit=refusal.code.value)
        elif may_pass:
            asked = large_of(request, data, wishes, self._settings)
        else:
            raise too_large(self._settings.body_bytes_max)
        return await self._chat.answer(asked._replace(span=request.scope.get(SPAN)))

    def _refusal(self, data: bytes, body: dict[str, Any]) -> Refusal | None:
        """Why the cache takes no such question, None where it does: it would say so, and keep it as a dead letter."""
        try:
            # In the request of the cache it stands one level deeper.
            check_depth(data, self._classify.depth_max - 1)
            check_length(question_of(body), self._classify.question_chars_max)
        except Refusal as refusal:
            return refusal
        return None

    async def _models(self, request: Request) -> AnyResponse:
        if self._simulated:
            await self._tenant(request)
            return JSONResponse(SIMULATED)
        return await self._pass(request)

    async def _pass(self, request: Request) -> AnyResponse:
        """Pass a request on to the model's server, and its response back, as they come."""
        await self._tenant(request)
        path = request.scope.get("raw_path", b"").decode("ascii", "replace").partition("?")[0] or request.url.path
        found = _PATH.fullmatch(path)
        if found is None or any(part in (".", "..") for part in request.url.path.split("/")) or "%" in found[1]:
            raise HttpProblem(404, "not_found", f"there is no such path{_near(path)}")
        query = request.scope.get("query_string", b"")
        data = await self._read(request)
        call = self._upstream.call(
            request.method, found[1], b"?" + query if query else b"", list(request.headers.items()), data
        )
        response = await until_gone(request.receive, call)
        headers = passed_back(response.headers)
        return Streamed(response.status_code, headers, parts_of(response))

    async def _healthz(self, request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _readyz(self, request: Request) -> Response:
        ready = self._ready()
        return PlainTextResponse("ready\n" if ready else "not ready\n", 200 if ready else 503)

    async def _read(self, request: Request) -> bytes:
        return await read_body(request, self._settings, self.room)

    async def _tenant(self, request: Request) -> str:
        return await self._access.tenant(request.headers)

    def _bounded(self, route: str, handler: Handler) -> _Bounded:
        return _Bounded(self, route, handler, self._settings.in_flight_max, self._metrics, self._traces)


class _Bounded:
    """A handler as an application: counted while it works and streams, told to come back where too many do."""

    def __init__(
        self,
        endpoint: Endpoint,
        route: str,
        handler: Handler,
        in_flight_max: int,
        metrics: EdgeMetrics,
        traces: Traces,
    ) -> None:
        self._endpoint = endpoint
        self._route = route
        self._handler = handler
        self._most = in_flight_max
        self._metrics = metrics
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = self._traces.begin("edge", _context(scope), "server", root=True) if self._traces.on else None
        if span is None:
            return await self._take(scope, receive, send)
        span.tell(route=self._route)
        scope[SPAN] = span
        try:
            return await self._take(scope, receive, send)
        finally:
            span.end()

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoint
        if endpoint.open >= self._most:
            self._metrics.full.inc()
            await self._respond(overloaded(self._most).response(), scope, receive, send)
            return
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES_MAX:
            # The parser bounds what has not come as a whole, and this has.
            await self._respond(headers_too_large(HEAD_BYTES_MAX).response(), scope, receive, send)
            return
        endpoint.open += 1
        self._metrics.open.set(endpoint.open)
        try:
            await self._respond(await self._response(Request(scope, receive, send)), scope, receive, send)
        except ClientDisconnect:
            self._metrics.gone.inc()
            if SPAN in scope:
                scope[SPAN].fail("client_gone")
        except Exception as error:
            # Its status is sent, so the connection ends; why, is told here alone.
            logger.warning("a response of %s broke off: %s", self._route, unforeseen(error))
            if SPAN in scope:
                scope[SPAN].fail("broken_off")
            raise
        finally:
            endpoint.room.give_back(scope.pop(TAKEN, 0))
            endpoint.open -= 1
            self._metrics.open.set(endpoint.open)

    async def _response(self, request: Request) -> AnyResponse:
        try:
            return await self._handler(request)
        except HttpProblem as problem:
            return problem.response()
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - the barrier: what nobody foresaw costs this request alone
            refusal = unforeseen(error)
            logger.warning("a request of %s failed: %s", self._route, refusal)
            return HttpProblem(500, "internal", "an error that nobody foresaw: report it").response()

    async def _respond(self, response: AnyResponse, scope: Scope, receive: Receive, send: Send) -> None:
        self._metrics.answered.labels(self._route, str(response.status_code)).inc()
        span: Span | None = scope.get(SPAN)
        if span is not None:
            span.tell(status=response.status_code)
            if response.status_code >= 500:
                span.fail(str(response.status_code))
        await response(scope, receive, send)


def _context(scope: Scope) -> Headers:
    """The headers of a request that may carry the context of a trace."""
    return tuple(
        (name.decode("latin-1"), value) for name, value in scope["headers"] if name in (b"traceparent", b"tracestate")
    )


def _headers(request: Request) -> list[tuple[str, str]]:
    """The headers as text: of values in UTF-8 the text that they are."""
    return [(name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in request.headers.raw]


def _near(path: str) -> str:
    """The path that was meant, where a slash is all that is wrong."""
    meant = re.sub("/+", "/", path).rstrip("/")
    return f": did you mean {meant}?" if meant != path and _PATH.fullmatch(meant) else ": the API is below /v1"


async def _unknown(request: Request, error: Any) -> Response:
    if error.status_code == 405:
        text = "the path does not take this method"
        return HttpProblem(405, "method_not_allowed", text, headers=error.headers).response()
    return HttpProblem(404, "not_found", "there is no such path: the API is below /v1").response()
