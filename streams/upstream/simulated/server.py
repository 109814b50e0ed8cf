"""The simulated model as an OpenAI-compatible HTTP server on loopback, for tests and benches.

with SimulatedServer(settings) as server:
    httpx.post(f"{server.base_url}/chat/completions", json=body)
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiohttp import web
from pydantic_core import from_json, to_json

from refrain.streams.errors import WrongSetup
from refrain.streams.messaging.chunks import chunks_of
from refrain.streams.runtime.background import BackgroundThread
from refrain.streams.settings import Upstream
from refrain.streams.upstream.simulated.model import simulate

START_WAIT_S = 10.0
REQUEST_BYTES_MAX = 4_194_304


class Scripted(NamedTuple):
    """A scripted answer, given after `delay_s` in place of the model's; for tests."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0


class ReceivedCall(NamedTuple):
    """A call that the server received; header names in lower case."""

    headers: dict[str, str]
    body: Any


class SimulatedServer:
    """Serves in a thread of its own. `script` is used up before the model answers; `calls` has every call."""

    def __init__(self, settings: Upstream) -> None:
        self._settings = settings
        self.script: deque[Scripted] = deque()
        self.calls: list[ReceivedCall] = []
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._background: BackgroundThread | None = None

    @property
    def base_url(self) -> str:
        """What `upstream.base_url` must be."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        up = threading.Event()
        self._background = BackgroundThread("simulated-server", lambda: self._loop.run_until_complete(self._serve(up)))
        if not up.wait(START_WAIT_S):
            raise WrongSetup(f"the simulated server did not start: {self._background.problem}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._background is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
            self._background.join(START_WAIT_S)
            self._loop.close()

    async def _serve(self, up: threading.Event) -> None:
        app = web.Application(client_max_size=REQUEST_BYTES_MAX)
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        up.set()
        try:
            await self._ending.wait()
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        try:
            body = from_json(data)
        except ValueError:
            body = None
        self.calls.append(ReceivedCall({name.lower(): value for name, value in request.headers.items()}, body))
        if self.script:
            scripted = self.script.popleft()
            await asyncio.sleep(scripted.delay_s)
            return web.Response(status=scripted.status, body=scripted.body, headers=dict(scripted.headers))
        if not isinstance(body, dict):
            return _error(400, "the body is not a JSON object")
        identity = request.headers.get("Idempotency-Key") or hashlib.sha256(data).hexdigest()[:32]
        simulated = simulate(body, identity, 0, self._settings)
        answer = simulated.answer.body
        if answer is not None and body.get("stream") is True:
            return await _streamed(request, answer, body, simulated.latency_s)
        await asyncio.sleep(simulated.latency_s)
        if answer is None:
            return _error(500, "the simulated model failed, as it was told to")
        return web.Response(body=to_json(answer), content_type="application/json")


async def _streamed(
    request: web.Request, answer: dict[str, Any], asked: dict[str, Any], latency_s: float
) -> web.StreamResponse:
    """The answer as events: the first after half the time, the others over the rest of it."""
    options = asked.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    chunks = list(chunks_of(answer, with_usage=with_usage))
    await asyncio.sleep(latency_s / 2)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for chunk in chunks:
        await response.write(b"data: " + to_json(chunk) + b"\n\n")
        await asyncio.sleep(latency_s / 2 / len(chunks))
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _error(status: int, message: str) -> web.Response:
    body = to_json({"error": {"message": message, "type": "simulated"}})
    return web.Response(status=status, body=body, content_type="application/json")
