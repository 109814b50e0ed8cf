"""The endpoint while the cache is silent or fails: the model is called without it, unless the client wants no model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from refrain.schemas.responses import Outcome, Response
from refrain.streams.client.exchange import HEADER
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.responses import error_response
from refrain.streams.settings import Settings, Upstream
from refrain.streams.upstream.simulated.server import Scripted, SimulatedServer
from tests.streams.edge.service import Edged, WaitingCluster, edge, now_ms, settings_of
from tests.streams.edge.test_chat import events, text_of

WAIT_MS = 150
BODY = {"model": "m", "messages": [{"role": "user", "content": "Who?"}]}


@pytest.fixture(scope="module")
def serving() -> Iterator[SimulatedServer]:
    with SimulatedServer(Upstream(latency_median_ms=1, latency_sigma=0)) as server:
        yield server


@pytest.fixture
def model(serving: SimulatedServer) -> SimulatedServer:
    serving.calls.clear()
    serving.script.clear()
    return serving


@pytest.fixture
def settings(tmp_path: Path, model: SimulatedServer) -> Settings:
    return settings_of(tmp_path, model, cache_wait_ms=WAIT_MS)


def asking(settings: Settings, ask: Callable[[Edged], Awaitable[Any]], answer: bytes | None = None) -> Any:
    """What comes of asking with nobody behind the topics; with an `answer`, that is every request's response."""
    cluster = WaitingCluster(now_ms)

    async def answering() -> None:
        tail = cluster.tail({"requests": None}, "stand-in")
        while True:
            for record in await asyncio.to_thread(tail.poll, 10, 0.05):
                headers = dict(record.headers)
                partition = int(headers["kafka_replyPartition"] or b"0")
                back = ((HEADER, headers[HEADER]),)
                cluster.append([Outgoing("responses", record.key, answer, back, partition)])

    async def work() -> Any:
        async with edge(settings, cluster) as edged:
            standing_in = asyncio.create_task(answering()) if answer is not None else None
            await asyncio.sleep(0)
            try:
                return await ask(edged)
            finally:
                if standing_in is not None:
                    standing_in.cancel()
                    await asyncio.gather(standing_in, return_exceptions=True)

    return asyncio.run(work())


def test_a_silent_cache_costs_a_set_time_and_the_response_says_so(settings: Settings, model: SimulatedServer) -> None:
    async def ask(edged: Edged) -> tuple[httpx.Response, int]:
        return await edged.chat("Who?", headers={"x-refrain-category": "code"}), edged.client.under_way

    response, left = asking(settings, ask)
    assert response.status_code == 200
    assert (response.headers["x-refrain-outcome"], response.headers["x-refrain-reason"]) == ("bypass", "cache_silent")
    assert "Who?" in response.json()["choices"][0]["message"]["content"]
    assert left == 0
    assert not any(name.startswith("x-refrain") for name in model.calls[0].headers)
    assert "authorization" not in model.calls[0].headers


def test_a_stream_past_a_silent_cache_is_the_models_own(settings: Settings) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?", stream=True)

    response = asking(settings, ask)
    assert response.headers["x-refrain-outcome"] == "bypass"
    assert "Who?" in text_of(events(response))


def test_who_wants_no_model_gets_an_error_while_the_cache_is_silent(settings: Settings, model: SimulatedServer) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?", headers={"x-refrain-cache": "only"})

    response = asking(settings, ask)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "cache_unavailable"
    assert response.headers["retry-after"] == "1"
    assert response.headers["x-refrain-reason"] == "cache_silent"
    assert model.calls == []


@pytest.mark.parametrize("code", ["fold_failed", "shard_recovered", "answer_withheld", "internal"])
def test_an_error_of_the_cache_itself_opens_the_way_to_the_model(settings: Settings, code: str) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?")

    told = error_response(code, "it went wrong", request_id=None, tenant="default").encode()
    response = asking(settings, ask, told)
    assert response.status_code == 200
    assert (response.headers["x-refrain-outcome"], response.headers["x-refrain-reason"]) == ("bypass", code)


@pytest.mark.parametrize(
    ("code", "message", "status", "kind"),
    [
        ("empty_question", "the last message has no text", 400, "invalid_request_error"),
        ("too_large", "shorten it", 413, "invalid_request_error"),
        ("not_cached", "nothing is cached", 404, "not_found_error"),
        ("deadline_exceeded", "ask again", 504, "server_error"),
        ("upstream_failed", "the connection to the server failed", 502, "server_error"),
        ("upstream_failed", "the server answered 404: no such model", 404, "not_found_error"),
        ("upstream_failed", "the server answered 401: wrong key", 502, "server_error"),
        ("upstream_failed", "the server answered 429: later", 429, "rate_limit_error"),
        ("of_a_later_version", "?", 503, "server_error"),
    ],
)
def test_an_error_of_the_request_or_the_model_is_told_in_openais_form(
    settings: Settings, model: SimulatedServer, code: str, message: str, status: int, kind: str
) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?", stream=True)

    told = error_response(code, message, request_id=None, tenant="default").encode()
    response = asking(settings, ask, told)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["type"], error["message"]) == (code, kind, message)
    assert response.headers["x-refrain-outcome"] == "error"
    assert model.calls == []


def test_a_decision_cannot_bring_a_header_of_its_own(settings: Settings) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?")

    evil = "x\r\nset-cookie: a=1\r\n\r\nä"
    response = Response.model_validate(
        {"outcome": Outcome.HIT, "body": {"choices": []}, "decision": {"id": evil, "category": evil, "reason": evil}}
    )
    found = asking(settings, ask, response.encode())
    assert "set-cookie" not in found.headers
    assert found.headers["x-refrain-reason"].startswith("x%0D%0Aset-cookie")


def test_what_is_no_response_counts_as_none(settings: Settings) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?")

    found = asking(settings, ask, b"{}")
    assert (found.status_code, found.headers["x-refrain-reason"]) == (200, "not_read")


def test_a_deadline_that_passes_is_an_error_in_time(tmp_path: Path, model: SimulatedServer) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?", headers={"x-refrain-deadline-ms": "50"})

    response = asking(settings_of(tmp_path, model, cache_wait_ms=10_000), ask)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert model.calls == []


def test_without_a_server_there_is_nobody_to_ask(tmp_path: Path) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?")

    response = asking(settings_of(tmp_path, None, cache_wait_ms=20), ask)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_upstream")
    assert response.headers["x-refrain-reason"] == "cache_silent"


def test_headers_of_one_connection_are_passed_neither_on_nor_back(settings: Settings, model: SimulatedServer) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.http.post("/v1/chat/completions", json=BODY, headers=sent)

    sent = [
        ("connection", "close, X-Mine , keep-alive"), ("connection", "x-other"), ("x-mine", "1"), ("x-other", "2"),
        ("x-kept", "3"), ("keep-alive", "timeout=5"), ("proxy-connection", "close"), ("te", "trailers"),
        ("trailer", "x"), ("upgrade", "h2c"), ("http2-settings", "AA"), ("proxy-authorization", "Basic AA"),
    ]  # fmt: skip
    back = (("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=9"), ("Proxy-Authenticate", "Basic"),
            ("X-Stays", "2"))  # fmt: skip
    model.script.append(Scripted(200, b"{}", back))
    response = asking(settings, ask)
    got = model.calls[0].headers
    assert got["x-kept"] == "3"
    assert {name for name, _ in sent if name in got} <= {"x-kept", "connection"}
    assert "x-mine" not in got.get("connection", "")
    assert response.headers["x-stays"] == "2"
    assert not {"x-hop", "keep-alive", "proxy-authenticate", "connection"} & response.headers.keys()


def test_an_error_of_the_models_server_is_passed_back_as_it_is(settings: Settings, model: SimulatedServer) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?")

    model.script.append(Scripted(418, b'{"error": {"message": "a teapot"}}', (("X-Kind", "pot"),)))
    response = asking(settings, ask)
    assert (response.status_code, response.headers["x-kind"]) == (418, "pot")
    assert response.json() == {"error": {"message": "a teapot"}}
