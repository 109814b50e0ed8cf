"""The HTTP connector against a real server on loopback that answers as the test says."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from refrain.schemas.forwards import Forward
from refrain.streams.messaging.model_errors import server_answer_in
from refrain.streams.settings import Upstream
from refrain.streams.upstream.http_model import RETRY_AFTER_MAX_S, HttpModel
from refrain.streams.upstream.model import Answer
from refrain.streams.upstream.simulated.server import Scripted, SimulatedServer

QUESTION = "What does the patient in room seven have?"
FOREVER_MS = 10**12


def forward_of(deadline_at_ms: int = FOREVER_MS, **more: Any) -> Forward:
    body = {"model": "m", "messages": [{"role": "user", "content": QUESTION}], **more}
    return Forward(forward_id="0-7-abc", model="m", body=body, deadline_at_ms=deadline_at_ms, route="r")


class Asker:
    """Asks a model once; pauses are noted, and make the clock go on."""

    def __init__(self, base_url: str, **settings: Any) -> None:
        self.settings = Upstream(base_url=base_url, **settings)
        self.pauses: list[float] = []
        self.now_ms = 0.0

    def __call__(self, forward: Forward | None = None) -> Answer:
        return asyncio.run(self._ask(forward or forward_of()))

    async def _ask(self, forward: Forward) -> Answer:
        model = HttpModel(self.settings, lambda: int(self.now_ms), sleep=self._pause)
        try:
            return await model.answer(forward)
        finally:
            await model.close()

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_ms += seconds * 1_000


def problem(found: Answer) -> tuple[str, str]:
    assert found.problem is not None
    return found.problem.code, found.problem.message


def error_body(message: str) -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


def vllm_body(message: str) -> bytes:
    return json.dumps({"object": "error", "message": message, "type": "BadRequestError", "code": 400}).encode()


def test_a_question_is_answered(server: SimulatedServer) -> None:
    found = Asker(server.base_url + "/", api_key=SecretStr("key"))(forward_of(stream=True, stream_options={"a": 1}))
    assert found.body is not None
    assert found.body["object"] == "chat.completion"
    (seen,) = server.calls
    assert seen.body == forward_of().body
    assert seen.headers["authorization"] == "Bearer key"
    assert seen.headers["idempotency-key"] == "0-7-abc"


def test_a_busy_server_is_asked_again_after_the_pause_it_wants(server: SimulatedServer) -> None:
    server.script.append(Scripted(429, error_body("slow down"), (("Retry-After", "7"),)))
    ask = Asker(server.base_url)
    assert ask().body is not None
    assert ask.pauses == [7.0]
    assert [seen.headers["idempotency-key"] for seen in server.calls] == ["0-7-abc"] * 2
    assert server.calls[0].body == server.calls[1].body


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 504, 529])
def test_a_server_that_may_answer_a_moment_later_is_asked_again(server: SimulatedServer, status: int) -> None:
    server.script.append(Scripted(status, error_body("later")))
    assert Asker(server.base_url)().body is not None
    assert len(server.calls) == 2


def test_a_failing_server_is_asked_again_only_so_often(server: SimulatedServer) -> None:
    server.script.extend(Scripted(503, error_body("overloaded")) for _ in range(10))
    ask = Asker(server.base_url, retries=2, backoff_ms=100)
    assert problem(ask()) == ("upstream_failed", "the server answered 503: overloaded")
    assert len(server.calls) == 3
    assert all(0 <= pause <= 0.1 * 2**number for number, pause in enumerate(ask.pauses))


def test_nothing_is_asked_again_past_the_deadline(server: SimulatedServer) -> None:
    server.script.extend(Scripted(429, b"", (("Retry-After", "5"),)) for _ in range(10))
    ask = Asker(server.base_url, retries=10)
    assert problem(ask(forward_of(deadline_at_ms=12_000)))[0] == "upstream_failed"
    assert ask.pauses == [5.0, 5.0]
    assert len(server.calls) == 3


@pytest.mark.parametrize("wanted", [str(int(RETRY_AFTER_MAX_S) + 1), "9" * 9])
def test_a_server_that_wants_a_very_long_pause_is_given_up(server: SimulatedServer, wanted: str) -> None:
    server.script.append(Scripted(429, b"", (("Retry-After", wanted),)))
    ask = Asker(server.base_url)
    assert problem(ask())[0] == "upstream_failed"
    assert ask.pauses == []


@pytest.mark.parametrize("wanted", ["-5", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "1e99", ""])
def test_a_pause_that_is_no_number_counts_as_none(server: SimulatedServer, wanted: str) -> None:
    server.script.append(Scripted(503, b"", (("Retry-After", wanted),)))
    ask = Asker(server.base_url, backoff_ms=1)
    assert ask().body is not None
    assert max(ask.pauses) <= 0.001


def test_the_pause_that_a_server_asked_for_is_told(server: SimulatedServer) -> None:
    server.script.append(Scripted(429, error_body("slow down"), (("Retry-After-Ms", "19400"),)))
    ask = Asker(server.base_url, retries=0)
    said = problem(ask())[1]
    assert said == "the server answered 429, and asks for a pause of 20 s: slow down"
    assert server_answer_in(said) == (429, 20)


def test_a_refusal_is_final(server: SimulatedServer) -> None:
    server.script.append(Scripted(401, error_body("bad key")))
    ask = Asker(server.base_url, api_key=SecretStr("wrong"))
    assert problem(ask()) == ("upstream_failed", "the server answered 401: bad key")
    assert len(server.calls) == 1


@pytest.mark.parametrize("form", [error_body, vllm_body], ids=["openai", "vllm"])
@pytest.mark.parametrize(
    "message", [f"cannot answer {QUESTION!r}", "what about the patient in room seven have?", QUESTION, QUESTION[:20]]
)
def test_an_error_that_quotes_the_request_is_not_passed_on(
    server: SimulatedServer, message: str, form: Callable[[str], bytes]
) -> None:
    server.script.append(Scripted(400, form(message)))
    assert problem(Asker(server.base_url)()) == ("upstream_failed", "the server answered 400")


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "too long", "type": "BadRequestError", "param": None, "code": 400}},
        {"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400},
        {"error": "too long"},
        {"detail": "too long"},
        {"message": "too long", "request_id": "r1"},
    ],
    ids=["openai", "vllm", "ollama", "fastapi", "gateway"],
)
def test_a_refusal_says_what_the_server_said_in_whatever_form(server: SimulatedServer, body: dict[str, Any]) -> None:
    server.script.append(Scripted(400, json.dumps(body).encode()))
    assert problem(Asker(server.base_url)()) == ("upstream_failed", "the server answered 400: too long")


@pytest.mark.parametrize(
    "data", [b"", b"<html>" + QUESTION.encode(), b"[]", b'{"error":7}', b'{"error":{"message":[]}}', b'{"detail":[{}]}']
)
def test_an_error_in_another_form_is_not_quoted(server: SimulatedServer, data: bytes) -> None:
    server.script.append(Scripted(418, data))
    assert problem(Asker(server.base_url)()) == ("upstream_failed", "the server answered 418")


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"\xff\xfe", b"[1]", b"null", b'{"a":1}{"b":2}', b"{}],[{}", b'{"a":NaN}', b'{"a":' * 500]
)
def test_an_answer_that_is_no_object_fails(server: SimulatedServer, data: bytes) -> None:
    server.script.append(Scripted(200, data))
    assert problem(Asker(server.base_url)())[0] == "upstream_failed"


@pytest.mark.parametrize("code", [429, "503", "rate_limit_exceeded"])
def test_an_error_in_a_response_of_success_is_tried_again_like_its_code(server: SimulatedServer, code: object) -> None:
    error = json.dumps({"error": {"code": code, "message": "slow down"}}).encode()
    server.script.append(Scripted(200, error, (("Retry-After", "7"),)))
    ask = Asker(server.base_url)
    found = ask()
    assert found.body is not None
    assert found.body["object"] == "chat.completion"
    assert ask.pauses == [7.0]


def test_an_error_in_a_response_of_success_that_does_not_end_is_a_failure(server: SimulatedServer) -> None:
    server.script.extend(Scripted(200, b'{"error":{"code":502,"message":"no upstream"}}') for _ in range(10))
    found = Asker(server.base_url, retries=2, backoff_ms=1)()
    assert problem(found) == ("upstream_failed", "the server answered 200 with an error 502: no upstream")
    assert len(server.calls) == 3


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"error":{"code":400,"message":"bad field"}}', " 400: bad field"),
        (b'{"error":"no such model"}', ": no such model"),
        (b'{"error":{}}', ""),
        (b'{"object":"error","code":400,"message":"bad field"}', " 400: bad field"),
        (b'{"choices":[{"error":{"message":"cut"},"finish_reason":"error"}]}', ": cut"),
        (json.dumps({"error": {"code": 400, "message": f"cannot answer {QUESTION!r}"}}).encode(), " 400"),
    ],
)
def test_an_error_in_a_response_of_success_is_final_where_no_other_try_may_mend_it(
    server: SimulatedServer, data: bytes, told: str
) -> None:
    server.script.append(Scripted(200, data))
    ask = Asker(server.base_url)
    assert problem(ask()) == ("upstream_failed", f"the server answered 200 with an error{told}")
    assert len(server.calls) == 1


def test_an_answer_whose_error_is_null_is_an_answer(server: SimulatedServer) -> None:
    server.script.append(Scripted(200, b'{"error":null,"choices":[]}'))
    assert Asker(server.base_url)().body == {"error": None, "choices": []}


def test_an_answer_over_the_limit_is_not_read(server: SimulatedServer) -> None:
    server.script.append(Scripted(200, b'{"a":"' + b"x" * 5_000_000 + b'"}'))
    assert problem(Asker(server.base_url, answer_bytes_max=10_000)())[0] == "answer_too_large"


def test_an_answer_that_takes_too_long_fails(server: SimulatedServer) -> None:
    server.script.append(Scripted(200, b"{}", delay_s=30))
    assert problem(Asker(server.base_url, timeout_ms=50)()) == (
        "upstream_failed",
        "the server gave no answer within 50 ms",
    )


def test_a_server_that_is_not_there_is_tried_again() -> None:
    ask = Asker("http://127.0.0.1:9/v1", retries=2)
    code, message = problem(ask())
    assert code == "upstream_failed"
    assert "ConnectError" in message
    assert len(ask.pauses) == 2


def test_an_id_that_no_header_can_carry_is_escaped(server: SimulatedServer) -> None:
    forward = forward_of().model_copy(update={"forward_id": "ä\n1"})
    assert Asker(server.base_url)(forward).body is not None
    assert server.calls[0].headers["idempotency-key"] == "%C3%A4%0A1"


def test_the_key_is_in_no_log(server: SimulatedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Asker(server.base_url, api_key=SecretStr("very-secret"))()
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize(
    ("scripted", "said"),
    [
        (Scripted(302, b"", (("Location", "/login"),)), "the server answered 302: is upstream.base_url the root"),
        (Scripted(404, b"<html>"), "the server answered 404: is upstream.base_url the root"),
        (Scripted(404, b'{"detail":"Not Found"}'), "the server answered 404: Not Found: is upstream.base_url the"),
        (
            Scripted(405, b'{"detail":"Method Not Allowed"}'),
            "the server answered 405: Method Not Allowed: is upstream",
        ),
        (Scripted(200, b"<html>"), "the server's answer is not JSON: is upstream.base_url the root"),
        (Scripted(404, error_body("The model `g` does not exist")), "the server answered 404: The model `g` does not"),
    ],
)
def test_a_server_that_has_no_such_api_makes_one_look_at_the_root(
    server: SimulatedServer, scripted: Scripted, said: str
) -> None:
    server.script.append(scripted)
    text = problem(Asker(server.base_url)())[1]
    assert text.startswith(said)
    assert text.endswith("?") is ("model `g`" not in text)
