"""The doctor calls the model, and says what came."""

from __future__ import annotations

import json

import httpx
import pytest
from pydantic import SecretStr

from refrain.ops.observe import doctor_upstream
from refrain.ops.observe.doctor_upstream import upstream
from refrain.ops.observe.findings import Finding
from refrain.streams.settings import Settings, Upstream

URL = "http://gateway:8000/v1"
GOOD = {"choices": [{"message": {"role": "assistant", "content": "Y"}, "finish_reason": "length"}]}


class Server:
    """A server that names a model, takes these statuses in turn, and remembers what was asked."""

    def __init__(self, *statuses: int, answer: object = GOOD) -> None:
        self.statuses = list(statuses)
        self.answer = answer
        self.asked: list[dict[str, object]] = []
        self.keys: set[str | None] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.keys.add(request.headers.get("authorization"))
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "served"}]})
        self.asked.append(json.loads(request.content))
        status = self.statuses.pop(0) if self.statuses else 200
        return httpx.Response(status, json=self.answer if status == 200 else {"error": {"message": "no luck"}})


def look(server: Server, used: tuple[str, ...] = ("in-use", "other")) -> Finding:
    settings = Settings(upstream=Upstream(base_url=URL, api_key=SecretStr("hunter22")))
    (finding,) = upstream(settings, lambda: used, httpx.MockTransport(server))
    return finding


def test_a_model_that_answers_is_ok_and_was_asked_for_one_token() -> None:
    server = Server()
    found = look(server)
    assert (found.check, found.state) == ("upstream", "ok")
    assert "in-use at http://gateway:8000/v1 answers in" in found.seen
    assert [(asked["model"], asked["max_tokens"]) for asked in server.asked] == [("in-use", 1)]
    assert server.keys == {"Bearer hunter22"}


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_model_that_fails_fails_with_what_came_and_is_asked_once(status: int) -> None:
    server = Server(status)
    found = look(server)
    assert found.state == "fail"
    assert f"the server answered {status}: no luck" in found.seen
    assert "upstream.base_url" in found.do
    assert len(server.asked) == 1
    assert "hunter22" not in found.seen


def test_what_the_url_holds_before_its_host_is_not_shown() -> None:
    settings = Settings(upstream=Upstream(base_url="http://user:pa55@gateway:8000/v1"))
    (finding,) = upstream(settings, lambda: ["m"], httpx.MockTransport(Server()))
    assert finding.state == "ok"
    assert "pa55" not in finding.seen


def test_a_model_that_wants_the_other_name_of_the_limit_gets_it() -> None:
    server = Server(400)
    assert look(server).state == "ok"
    assert "max_completion_tokens" in server.asked[1]


def test_where_no_model_is_in_use_the_first_that_the_server_names_is_called() -> None:
    server = Server()
    assert "served at" in look(server, ()).seen
    assert server.asked[0]["model"] == "served"


def test_an_answer_that_is_no_completion_fails() -> None:
    assert look(Server(answer={"ok": True})).state == "fail"


def test_a_server_that_is_gone_or_silent_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    settings = Settings(upstream=Upstream(base_url=URL))
    (finding,) = upstream(settings, tuple, httpx.MockTransport(refuse))
    assert finding.state == "fail"
    assert "the connection to the server failed (ConnectError)" in finding.seen

    async def never(request: httpx.Request) -> httpx.Response:
        import asyncio

        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(doctor_upstream, "CALL_S", 0.05)
    (finding,) = upstream(settings, lambda: ["m"], httpx.MockTransport(never))
    assert finding.state == "fail"
    assert "no answer within 50 ms" in finding.seen


def test_a_connector_of_ones_own_is_not_called() -> None:
    def called() -> list[str]:
        raise AssertionError("nobody needs to know")

    (finding,) = upstream(Settings(), called)
    assert finding.state == "ok"
    assert "not called" in finding.seen
    (finding,) = upstream(Settings(upstream=Upstream(connector="simulated")), called)
    assert "simulated" in finding.seen
