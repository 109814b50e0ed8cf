"""The endpoint while the cache is silent or fails: the model is called without it, unless the client wants no model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.streams.client.exchange import HEADER
from refrain.streams.edge.body import LARGE_AT_ONCE
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.responses import error_response
from refrain.streams.settings import Settings
from refrain.streams.upstream.simulated.server import Scripted, SimulatedServer
from tests.streams.edge.service import Edged, WaitingCluster, edge, now_ms, settings_of
from tests.streams.edge.test_chat import events, text_of

WAIT_MS = 150
ANSWERED_MS = 30_000
"""Where somebody answers, nothing is to be taken for silence."""
BODY = {"model": "m", "messages": [{"role": "user", "content": "Who?"}]}


@pytest.fixture
def model(model: SimulatedServer) -> SimulatedServer:
    """It, without what a test before asked and said."""
    model.calls.clear()
    model.script.clear()
    return model


@pytest.fixture
def settings(tmp_path: Path, model: SimulatedServer) -> Settings:
    return settings_of(tmp_path, model, cache_wait_ms=WAIT_MS)


def asking(settings: Settings, ask: Callable[[Edged], Awaitable[Any]], answer: bytes | None = None) -> Any:
    """What comes of asking with nobody behind the topics; with an `answer`, that is every request's response."""
    cluster = WaitingCluster(now_ms)
    if answer is not None:
        patient = settings.edge.model_copy(update={"cache_wait_ms": ANSWERED_MS})
        settings = settings.model_copy(update={"edge": patient})

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
        ("bad_field", "body.model is a text", 400, "invalid_request_error"),
        ("tenant_not_yours", "name your own", 403, "permission_error"),
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


def too_late(reason: str) -> bytes:
    decision = DecisionSummary(id="0-0-x", reason=reason)
    return error_response("deadline_exceeded", "it is over", tenant="default", decision=decision).encode()


@pytest.mark.parametrize(
    ("mode", "reason", "waits_ms", "status", "told"),
    [
        ("use", "deadline_passed", 60_000, 200, "clock_behind"),
        ("only", "deadline_passed", 60_000, 503, "clock_behind"),
        # The time went by here as well, or the model took it.
        ("use", "deadline_passed", 4_500, 504, "deadline_passed"),
        ("use", "below_threshold", 60_000, 504, "below_threshold"),
    ],
)
def test_a_deadline_that_is_not_over_here_tells_of_a_clock(
    settings: Settings, model: SimulatedServer, mode: str, reason: str, waits_ms: int, status: int, told: str
) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        headers = {"x-refrain-cache": mode, "x-refrain-deadline-ms": str(waits_ms)}
        return await edged.chat("Who?", headers=headers)

    response = asking(settings, ask, too_late(reason))
    assert (response.status_code, response.headers["x-refrain-reason"]) == (status, told)
    assert len(model.calls) == (status == 200)


@pytest.mark.parametrize(
    ("message", "status", "pause"),
    [
        ("the server answered 429: later", 429, "1"),
        ("the server answered 429, and asks for a pause of 20 s", 429, "20"),
        ("the server answered 429, and asks for a pause of 20 s: later, in 3 s", 429, "20"),
        ("the server answered 429: it said, and asks for a pause of 20 s", 429, "1"),
        ("the server answered 200 with an error 429, and asks for a pause of 7 s: later", 429, "7"),
        ("the server answered 200 with an error rate_limit_exceeded, and asks for a pause of 7 s", 429, "7"),
        ("the server answered 200 with an error overloaded_error", 503, "1"),
        ("the server answered 200 with an error content_filter", 502, None),
        ("the server answered 503, and asks for a pause of 7 s", 503, "7"),
        ("the server answered 503: no slot", 503, "1"),
        ("the server answered 529, and asks for a pause of 30 s: overloaded", 503, "30"),
        ("the server answered 425", 503, "1"),
        ("the server answered 500, and asks for a pause of 7 s", 502, "7"),
        ("the server answered 500: it broke", 502, None),
        ("the server answered 502", 502, None),
        ("the server answered 408", 504, None),
        ("the server answered 504: too slow", 504, None),
        ("the server gave no answer within 60000 ms", 504, None),
        ("the server answered 400, and asks for a pause of 7 s", 400, None),
        ("the server answered 410: that model is retired", 410, None),
        ("the server answered 413", 413, None),
        ("the server answered 422: two roles in a row", 422, None),
        ("the server answered 451: not in your country", 451, None),
        ("the server answered 402: pay", 502, None),
        ("the server answered 403: not for this key", 502, None),
        ("the server answered 302", 502, None),
    ],
)
def test_what_the_models_server_says_is_told_with_the_pause_it_asks_for(
    settings: Settings, message: str, status: int, pause: str | None
) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?")

    told = error_response("upstream_failed", message, request_id=None, tenant="default").encode()
    response = asking(settings, ask, told)
    assert (response.status_code, response.headers.get("retry-after")) == (status, pause)


UNFIT = [("empty_question", 400), ("question_too_long", 400), ("too_deep", 400), ("too_large", 413)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("code", "status"), UNFIT)
def test_what_the_cache_does_not_take_goes_to_the_model_without_it(
    settings: Settings, code: str, status: int, stream: bool
) -> None:
    async def ask(edged: Edged) -> tuple[httpx.Response, float | None]:
        response = await edged.chat("Who?", stream=stream)
        return response, edged.metrics.registry.get_sample_value("refrain_edge_direct_total", {"reason": "unfit"})

    told = error_response(code, "shorten it", request_id=None, tenant="default").encode()
    response, unfit = asking(settings, ask, told)
    assert response.status_code == 200
    assert (response.headers["x-refrain-outcome"], response.headers["x-refrain-reason"]) == ("bypass", code)
    assert unfit == 1


@pytest.mark.parametrize(("code", "status"), UNFIT)
def test_what_the_cache_does_not_take_is_an_error_where_no_model_may_be_called(
    tmp_path: Path, settings: Settings, model: SimulatedServer, code: str, status: int
) -> None:
    async def only(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?", headers={"x-refrain-cache": "only"})

    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat("Who?")

    told = error_response(code, "shorten it", request_id=None, tenant="default").encode()
    nobody = settings_of(tmp_path, None, cache_wait_ms=WAIT_MS)
    for response in (asking(settings, only, told), asking(nobody, ask, told)):
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert model.calls == []


def test_a_request_too_large_for_the_cache_goes_to_the_model_and_no_topic(
    tmp_path: Path, model: SimulatedServer
) -> None:
    """As one with an image in it is."""

    async def ask(edged: Edged) -> list[httpx.Response]:
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 20_000}}
        parts: Any = [{"type": "text", "text": "Who is it?"}, image]
        sent = [
            await edged.chat(parts),
            await edged.chat(parts, stream=True),
            await edged.chat(parts, headers={"x-refrain-cache": "only"}),
            await edged.chat(parts, padding="A" * 40_000),
        ]
        assert edged.client.under_way == 0
        return sent

    settings = settings_of(tmp_path, model, body_bytes_max=10_000, passed_bytes_max=30_000)
    whole, streamed, only, larger = asking(settings, ask)
    assert [each.status_code for each in (whole, streamed, only, larger)] == [200, 200, 413, 413]
    assert {each.headers["x-refrain-reason"] for each in (whole, streamed)} == {"too_large"}
    assert "Who is it?" in whole.json()["choices"][0]["message"]["content"]
    assert "Who is it?" in text_of(events(streamed))
    assert len(model.calls) == 2
    assert "A" * 20_000 in str(model.calls[0].body)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("A" * 101, "question_too_long"),
        ([{"type": "text", "text": "A" * 60}, {"type": "text", "text": "B" * 60}], "question_too_long"),
        ("A" * 100, "cache_silent"),
        ([{"type": "text", "text": "A" * 60}, {"type": "image_url", "image_url": {"url": "B" * 60}}], "cache_silent"),
        (None, "empty_question"),
    ],
)
def test_a_question_that_the_cache_does_not_take_goes_to_the_model_at_once(
    settings: Settings, content: Any, reason: str
) -> None:
    async def ask(edged: Edged) -> httpx.Response:
        return await edged.chat(content)

    short = settings.model_copy(update={"classify": settings.classify.model_copy(update={"question_chars_max": 100})})
    response = asking(short, ask)
    assert (response.status_code, response.headers["x-refrain-reason"]) == (200, reason)


def test_so_many_large_requests_are_held_at_a_time(tmp_path: Path, model: SimulatedServer) -> None:
    async def ask(edged: Edged) -> tuple[list[int], int]:
        async def one() -> int:
            return (await edged.chat("A" * 20_000)).status_code

        together = await asyncio.gather(*(one() for _ in range(20)))
        return list(together), await one()

    model.script.extend(Scripted(200, b"{}", delay_s=1.0) for _ in range(20))
    settings = settings_of(tmp_path, model, body_bytes_max=1_000, passed_bytes_max=21_000)
    together, later = asking(settings, ask)
    assert together.count(200) == LARGE_AT_ONCE
    assert together.count(429) == 20 - LARGE_AT_ONCE
    assert later == 200


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
