"""Bounds of the endpoint: keys, sizes, times, how much is worked at once, with nobody behind the topics."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from refrain.streams.edge.keys import LOOK_AGAIN_S, changing, is_open_to_others, keys_path, read_keys, revoked
from refrain.streams.edge.server import bound
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Edge, Settings
from refrain.streams.upstream.simulated.server import Scripted, SimulatedServer
from tests.eventually import eventually
from tests.streams.edge.service import WAIT_S, WaitingCluster, add_key, now_ms, settings_of
from tests.streams.edge.serving import Serving, serving

BODY = {"model": "m", "messages": [{"role": "user", "content": "Who?"}]}
SILENT_MS = 60_000


@pytest.fixture
def serve(tmp_path: Path, model: SimulatedServer) -> Iterator[Callable[..., Serving]]:
    model.script.clear()
    model.calls.clear()
    served: list[Serving] = []

    def start(**edge: Any) -> Serving:
        settings = settings_of(tmp_path, model, **{"cache_wait_ms": SILENT_MS, "drain_ms": 1_000, **edge})
        served.append(Serving(settings, WaitingCluster(now_ms)))
        return served[-1]

    yield start
    for one in served:
        one.end()


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory, model: SimulatedServer) -> Iterator[Serving]:
    """One endpoint for all tests that it refuses something."""
    settings = settings_of(tmp_path_factory.mktemp("state"), model, body_bytes_max=6_000, passed_bytes_max=6_000)
    with serving(settings, WaitingCluster(now_ms)) as one:
        yield one


def post(one: Serving, body: Any = BODY, **more: Any) -> httpx.Response:
    return httpx.post(f"{one.url}/v1/chat/completions", json=body, timeout=WAIT_S, trust_env=False, **more)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "unreadable"),
        (b"{", 400, "unreadable"),
        (b"[]", 400, "unreadable"),
        (b'{"model": "m", "messages": [], "x": NaN}', 400, "unreadable"),
        (b'{"messages": [{}]}', 400, "bad_field"),
        (b'{"model": "m"}', 400, "bad_field"),
        (b'{"model": "m", "messages": []}', 400, "bad_field"),
        (b'{"model": "m", "messages": ["x"]}', 400, "bad_field"),
        (b'{"model": "m", "messages": [{}], "stream": "yes"}', 400, "bad_field"),
        (b'{"model": "m", "messages": [{}], "stream_options": 1}', 400, "bad_field"),
        (b"[" * 5_000, 400, "unreadable"),
        (b'"' + b"x" * 6_000 + b'"', 413, "too_large"),
    ],
)
def test_a_body_that_is_none_is_refused(steady: Serving, content: bytes, status: int, code: str) -> None:
    response = httpx.post(f"{steady.url}/v1/chat/completions", content=content, timeout=WAIT_S, trust_env=False)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_a_client_that_sends_more_than_is_taken_hears_so_and_may_go_on(steady: Serving) -> None:
    """An answer before the client has sent all would be lost, where the connection is closed then."""
    with httpx.Client(base_url=steady.url, timeout=WAIT_S, trust_env=False) as client:
        for _ in range(3):
            response = client.post("/v1/chat/completions", content=b"x" * 5_000_000)
            assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
            assert "connection" not in response.headers
        assert client.get("/healthz").status_code == 200


def test_a_compressed_body_is_told_to_come_as_it_is(steady: Serving) -> None:
    response = httpx.post(
        f"{steady.url}/v1/chat/completions",
        content=gzip.compress(json.dumps(BODY).encode()),
        headers={"content-encoding": "gzip"},
        trust_env=False,
    )
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_encoding")
    assert "without `content-encoding`" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/healthz", "/nowhere", "/v1/chat/completions/"])
@pytest.mark.parametrize(
    ("sent", "kept"),
    [(None, False), ("abc-1", True), ("req_7:4/x", True), ("a b", False), ("a" * 201, False), ("", False)],
)
def test_every_response_has_an_id_and_a_good_one_of_the_client_is_kept(
    steady: Serving, path: str, sent: str | None, kept: bool
) -> None:
    headers = {} if sent is None else {"x-request-id": sent}
    ids = [
        httpx.post(f"{steady.url}{path}", content=b"{", headers=headers, timeout=WAIT_S, trust_env=False).headers[
            "x-request-id"
        ]
        for _ in range(2)
    ]
    assert (ids == [sent, sent]) is kept
    assert kept or (ids[0] != ids[1] and all(each.startswith("req_") for each in ids))


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("PUT", "/v1/chat/completions", 405, "does not take this method"),
        ("OPTIONS", "/v1/models", 405, "does not take this method"),
        ("POST", "/healthz", 405, "does not take this method"),
        ("POST", "/v1/chat/completions/", 404, "did you mean /v1/chat/completions?"),
        ("POST", "/v1//chat/completions", 404, "did you mean /v1/chat/completions?"),
        ("GET", "/v1", 404, "the API is below /v1"),
        ("GET", "/v1/", 404, "the API is below /v1"),
        ("POST", "/chat/completions", 404, "the API is below /v1"),
        ("GET", "/v1/%2e%2e/x", 404, "the API is below /v1"),
    ],
)
def test_a_wrong_path_or_method_is_told_with_the_right_one(
    steady: Serving, method: str, path: str, status: int, told: str
) -> None:
    response = httpx.request(method, f"{steady.url}{path}", timeout=WAIT_S, trust_env=False)
    assert response.status_code == status
    assert told in response.json()["error"]["message"]
    assert ("allow" in response.headers) is (status == 405)


def test_a_body_that_does_not_say_its_size_is_read_no_further_than_the_limit(steady: Serving) -> None:
    parts = (b"x" * 1_000 for _ in range(10))
    response = httpx.post(f"{steady.url}/v1/chat/completions", content=parts, timeout=WAIT_S, trust_env=False)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"x-refrain-catgory": "code"}, "did you mean x-refrain-category?"),
        ({"x-refrain-category": "a b"}, "letters, digits"),
        ({"x-refrain-cache": "onyl"}, "did you mean only?"),
        ({"x-refrain-deadline-ms": "0"}, "milliseconds"),
        ({"x-refrain-deadline-ms": "1e9"}, "milliseconds"),
        ({"x-refrain-vary": "[1]"}, "JSON object"),
        ({"x-refrain-vary": "{"}, "JSON object"),
        ({"x-refrain-tag": "a,,b"}, "empty"),
        ({"x-refrain-tag": "a" * 129}, "128"),
        ({"x-refrain-source": "@3"}, "ID@VERSION"),
        ([("x-refrain-cache", "use"), ("x-refrain-cache", "only")], "send it once"),
    ],
)
def test_a_wish_that_is_none_is_refused_by_its_name(steady: Serving, headers: Any, said: str) -> None:
    response = post(steady, headers=headers)
    assert response.status_code == 400
    error = response.json()["error"]
    assert said in error["message"]
    assert error["param"].startswith("x-refrain-")


def test_wishes_become_fields_of_the_request(serve: Callable[..., Serving], tmp_path: Path) -> None:
    cluster = WaitingCluster(now_ms)
    settings = settings_of(tmp_path, None, cache_wait_ms=50, tenant="acme")
    wishes = [
        ("x-refrain-category", "code"), ("x-refrain-cache", "refresh"), ("x-refrain-vary", '{"locale": "dé"}'.encode()),
        ("x-refrain-tag", "a, b"), ("x-refrain-tag", "c"), ("x-refrain-source", "doc@7@3,other"),
        ("x-refrain-deadline-ms", "5000"),
    ]  # fmt: skip
    with serving(settings, cluster) as one:
        post(one, {**BODY, "stream": True, "stream_options": {}}, headers=wishes)
    (record,) = cluster.records("requests")
    request = json.loads(record.value or b"")
    assert request["tenant"] == "acme"
    assert (request["category"], request["cache"], request["vary"]) == ("code", "refresh", {"locale": "dé"})
    assert request["tags"] == ["a", "b", "c"]
    assert request["sources"] == [{"id": "doc@7", "version": "3"}, {"id": "other", "version": ""}]
    assert 0 < request["deadline_at_ms"] - now_ms() <= 5_000
    assert request["body"] == BODY


def test_a_key_lets_its_tenant_in_and_a_revoked_one_nobody(
    serve: Callable[..., Serving], tmp_path: Path, model: SimulatedServer
) -> None:
    settings = settings_of(tmp_path, model, auth="keys", cache_wait_ms=20)
    one = serve(auth="keys", cache_wait_ms=20)
    assert post(one).status_code == 401
    key, id_ = add_key(settings, "acme")
    allowed = {"Authorization": f"Bearer {key}"}
    eventually(lambda: post(one, headers=allowed).status_code == 200)
    assert post(one, headers={"x-api-key": key}).status_code == 200
    for wrong in (key[:-1] + ("A" if key[-1] != "A" else "B"), key + "x", "sk-refrain", "ä", "-"):
        refused = post(one, headers={"Authorization": f"Bearer {wrong}".encode()})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
    assert len(model.calls) >= 2
    assert all(key not in " ".join(call.headers.values()) for call in model.calls)
    with changing(keys_path(settings)) as keys:
        revoked(keys, id_, now_ms())
    eventually(lambda: post(one, headers=allowed).status_code == 401)
    assert key not in keys_path(settings).read_text()
    assert LOOK_AGAIN_S < WAIT_S


def test_a_file_of_keys_that_others_may_read_is_not_taken(tmp_path: Path, model: SimulatedServer) -> None:
    settings = settings_of(tmp_path, model, auth="keys")
    add_key(settings, "acme")
    assert oct(os.stat(keys_path(settings)).st_mode & 0o777) == "0o600"
    keys_path(settings).chmod(0o644)
    with pytest.raises(WrongSetup, match="chmod 600"):
        read_keys(keys_path(settings))


@pytest.mark.parametrize(
    ("mode", "owner", "refused"),
    [
        (0o600, 0, False), (0o600, 10_001, False), (0o400, 10_001, False), (0o440, 0, False), (0o640, 0, False),
        (0o440, 10_001, True), (0o640, 10_001, True), (0o444, 0, True), (0o660, 0, True), (0o604, 0, True),
    ],
)  # fmt: skip
def test_a_file_of_keys_may_be_shown_to_a_group_by_root_alone(mode: int, owner: int, refused: bool) -> None:
    found = os.stat_result((mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    assert is_open_to_others(found) == refused


def test_nobody_is_let_in_without_a_key_from_elsewhere(tmp_path: Path) -> None:
    from refrain.streams.edge.access import access_of

    with pytest.raises(WrongSetup, match=r"edge\.auth"):
        access_of(Settings(state_dir=tmp_path, edge=Edge(auth="none", host="0.0.0.0")))
    assert access_of(Settings(state_dir=tmp_path, edge=Edge(auth="none"))).keys is None


@pytest.mark.parametrize(
    ("host", "do"), [("nowhere.invalid", "set edge.host"), ("203.0.113.7", "set edge.host"), (None, "set edge.port")]
)
def test_an_address_that_cannot_be_had_is_told_with_what_to_set(host: str | None, do: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Edge(host=host or "127.0.0.1", port=0 if host else taken.getsockname()[1])
        with pytest.raises(WrongSetup, match=f"cannot listen on .*{do}"):
            bound(settings)


def test_one_request_too_many_is_told_to_come_back(serve: Callable[..., Serving]) -> None:
    one = serve(in_flight_max=3)
    with httpx.Client(trust_env=False, timeout=WAIT_S) as http:
        threads = [threading.Thread(target=_ignoring, args=(one,), daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: one.value("refrain_edge_open") == 3)
        refused = http.post(f"{one.url}/v1/chat/completions", json=BODY)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert http.get(f"{one.url}/healthz").text == "alive\n"
        assert http.get(f"{one.url}/readyz").text == "ready\n"


def _ignoring(one: Serving) -> None:
    try:
        post(one)
    except httpx.HTTPError:
        return


def raw(one: Serving, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", one.port), timeout=WAIT_S)
    connection.sendall(data)
    return connection


def request_bytes(body: bytes, said: int | None = None) -> bytes:
    length = len(body) if said is None else said
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: edge\r\ncontent-length: %d\r\n\r\n%b" % (length, body)


def test_a_piece_is_sent_whether_or_not_the_one_before_it_is_acknowledged() -> None:
    async def connected() -> int:
        made: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

        class Taking(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                made.set_result(transport)

        with bound(Edge(port=0)) as one:
            async with await asyncio.get_running_loop().create_server(Taking, sock=one):
                with socket.create_connection(one.getsockname(), timeout=WAIT_S):
                    transport = await made
                    told: int = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                    transport.abort()
                    await asyncio.sleep(0)
                    return told

    assert asyncio.run(connected()) != 0


def test_a_client_that_vanishes_leaves_nothing_behind(serve: Callable[..., Serving]) -> None:
    one = serve()
    with raw(one, request_bytes(json.dumps(BODY).encode())):
        eventually(lambda: one.value("refrain_edge_open") == 1)
    eventually(lambda: one.value("refrain_edge_open") == 0)
    assert one.value("refrain_edge_gone_total") == 1


def test_a_client_that_vanishes_in_the_middle_of_its_request_leaves_nothing_behind(
    serve: Callable[..., Serving],
) -> None:
    one = serve()
    with raw(one, request_bytes(b"{", said=100)):
        eventually(lambda: one.value("refrain_edge_open") == 1)
    eventually(lambda: one.value("refrain_edge_open") == 0)


def test_a_slow_client_has_so_long_to_send_its_request(serve: Callable[..., Serving]) -> None:
    one = serve(read_timeout_ms=50)
    with raw(one, request_bytes(b"{", said=100)) as connection:
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 408")
    eventually(lambda: one.value("refrain_edge_open") == 0)


def test_a_client_that_takes_nothing_is_given_up(serve: Callable[..., Serving], model: SimulatedServer) -> None:
    one = serve(write_timeout_ms=100, cache_wait_ms=1)
    model.script.append(Scripted(200, b"x" * 50_000_000))
    with raw(one, request_bytes(json.dumps(BODY).encode())):
        eventually(lambda: one.value("refrain_edge_open") == 1)
        eventually(lambda: one.value("refrain_edge_open") == 0)
    assert one.value("refrain_edge_gone_total") == 1


def test_open_requests_are_answered_before_it_leaves(serve: Callable[..., Serving], model: SimulatedServer) -> None:
    one = serve(cache_wait_ms=1)
    model.script.append(Scripted(200, b'{"late": true}', delay_s=0.3))
    with raw(one, request_bytes(json.dumps(BODY).encode())) as connection:
        eventually(lambda: len(model.calls) == 1)
        one.stop()
        answer = b""
        while not answer.endswith(b'{"late": true}') and (part := connection.recv(65_536)):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200")
    one.end()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{one.url}/healthz", timeout=WAIT_S, trust_env=False)


def test_everything_else_below_v1_is_passed_on_and_back(serve: Callable[..., Serving], model: SimulatedServer) -> None:
    one = serve(cache_wait_ms=1)
    get = httpx.get(f"{one.url}/v1/models?a=b", timeout=WAIT_S, trust_env=False)
    assert get.status_code == 404
    for path in ("/", "/v2/models", "/v1/../etc", "/v1/a%2e%2e/b", "/v1//x"):
        assert httpx.get(f"{one.url}{path}", timeout=WAIT_S, trust_env=False).status_code == 404
    assert httpx.put(f"{one.url}/v1/files", timeout=WAIT_S, trust_env=False).status_code == 405
    assert httpx.get(f"{one.url}/v1/chat/completions", timeout=WAIT_S, trust_env=False).status_code == 405
