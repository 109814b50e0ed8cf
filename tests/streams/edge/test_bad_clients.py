"""Clients that are slow, vanish, take nothing or send what is no HTTP: an error or a bounded wait, and nothing left."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from refrain.streams.upstream.simulated.server import Scripted, SimulatedServer
from tests.eventually import eventually
from tests.streams.edge.service import WAIT_S, WaitingCluster, now_ms, settings_of
from tests.streams.edge.serving import Serving, serving

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Who?"}]}).encode()
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nhost: edge\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: edge\r\n\r\n"
TIMEOUT_MS = 200


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, model: SimulatedServer) -> Iterator[Serving]:
    """One endpoint for all of them: what one leaves behind shows at the next."""
    settings = settings_of(
        tmp_path_factory.mktemp("state"), model, cache_wait_ms=1, body_bytes_max=6_000, connections_max=40,
        passed_bytes_max=6_000, read_timeout_ms=TIMEOUT_MS, write_timeout_ms=TIMEOUT_MS, drain_ms=1_000,
    )  # fmt: skip
    with serving(settings, WaitingCluster(now_ms)) as one:
        yield one


@pytest.fixture
def one(endpoint: Serving, model: SimulatedServer) -> Iterator[Serving]:
    """The endpoint, which works on nothing and answers well before and after."""
    model.script.clear()
    model.calls.clear()
    yield endpoint
    eventually(lambda: endpoint.value("refrain_edge_open") == 0)
    model.script.clear()
    found = httpx.post(f"{endpoint.url}/v1/chat/completions", content=BODY, timeout=WAIT_S, trust_env=False)
    assert found.status_code == 200


@contextmanager
def sending(one: Serving, *parts: bytes, receive_bytes: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.settimeout(WAIT_S)
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.connect(("127.0.0.1", one.port))
        for part in parts:
            connection.sendall(part)
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """All that comes until the endpoint closes."""
    data = b""
    try:
        while part := connection.recv(65_536):
            data += part
    except ConnectionResetError:
        return data
    return data


def answer(one: Serving, *parts: bytes) -> bytes:
    with sending(one, *parts) as connection:
        return until_closed(connection)


def is_cut_off(connection: socket.socket, part: bytes, pause_s: float = 0.0) -> bool:
    """Send a part again and again until the endpoint takes no more; whether it ends the connection."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        try:
            connection.sendall(part)
        except (ConnectionError, TimeoutError) as problem:
            return isinstance(problem, ConnectionError)
        time.sleep(pause_s)
    return False


def asking(body: bytes = BODY, *headers: bytes, length: int | None = None) -> bytes:
    more = b"".join(header + b"\r\n" for header in headers)
    return ASK + more + b"content-length: %d\r\n\r\n%b" % (len(body) if length is None else length, body)


def error_of(data: bytes) -> tuple[int, str]:
    """Status and code of an answer in OpenAI's form, after which the connection is closed."""
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    error: dict[str, Any] = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(head.split()[1]), error["code"]


def test_clients_that_send_too_slowly_are_given_up_all_at_once(one: Serving) -> None:
    """The heads and bodies of slow clients; those that asked for nothing are closed without a word."""
    slow = {
        "nothing": b"",
        "half a line": b"POST /v1/ch",
        "half a head": ASK + b"x-a: 1\r\n",
        "half a second head": HEALTH + ASK,
        "half a body": asking(b"{", length=100),
        "half a chunk": ASK + b"transfer-encoding: chunked\r\n\r\n64\r\n{",
    }
    begun_s = time.monotonic()
    with_all = {name: socket.create_connection(("127.0.0.1", one.port), timeout=WAIT_S) for name in slow}
    try:
        for name, data in slow.items():
            with_all[name].sendall(data)
        told = {name: until_closed(connection) for name, connection in with_all.items()}
    finally:
        for connection in with_all.values():
            connection.close()
    assert time.monotonic() - begun_s >= TIMEOUT_MS / 1_000
    assert told.pop("nothing") == b""
    first, _, second = told.pop("half a second head").partition(b"alive\n")
    assert first.startswith(b"HTTP/1.1 200")
    assert error_of(second) == (408, "request_timeout")
    assert {name: error_of(data) for name, data in told.items()} == dict.fromkeys(told, (408, "request_timeout"))


def test_a_client_that_drips_keeps_no_connection(one: Serving) -> None:
    """A byte now and then is no progress, neither of a head nor of a body that nobody wants any more."""
    for begun in (b"GET /hea", b"PUT /v1/files HTTP/1.1\r\nhost: edge\r\ncontent-length: 1000000\r\n\r\n"):
        with sending(one, begun) as connection:
            assert is_cut_off(connection, b"x", pause_s=0.02)


def test_clients_that_take_nothing_are_given_up(one: Serving, model: SimulatedServer) -> None:
    """Of an answer, of many answers to pipelined requests, and of an answer that is all sent."""
    model.script.append(Scripted(200, b"x" * 20_000_000))
    gone = one.value("refrain_edge_gone_total")
    with (
        sending(one, asking(), receive_bytes=4_096) as much,
        sending(one, receive_bytes=4_096) as many,
    ):
        eventually(lambda: one.value("refrain_edge_open") == 1)
        assert is_cut_off(many, HEALTH * 1_000)
        eventually(lambda: one.value("refrain_edge_open") == 0)
        assert len(until_closed(much)) < 20_000_000
    assert one.value("refrain_edge_gone_total") == gone + 1


def test_clients_that_leave_free_their_places(one: Serving, model: SimulatedServer) -> None:
    """By closing, by a reset, and by closing the half that they send on: who sends no more waits for nothing."""
    for leave in ("close", "reset", "half"):
        model.script.append(Scripted(200, b"{}", delay_s=WAIT_S))
        with sending(one, asking()) as connection:
            eventually(lambda: one.value("refrain_edge_open") == 1)
            if leave == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if leave == "half":
                connection.shutdown(socket.SHUT_WR)
                assert until_closed(connection) == b""
            else:
                connection.close()
            eventually(lambda: one.value("refrain_edge_open") == 0)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n", 400),
        (b"\r\n\r\nnonsense\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /h\xc3\xa4 HTTP/1.1\r\nhost: edge\r\n\r\n", 400),
        (asking(BODY, b"x-a: b\rset-cookie: c"), 400),
        (asking(BODY, b"x-a: b\x00c"), 400),
        (asking(BODY, b"x-a : b"), 400),
        (asking(BODY, b"x a: b"), 400),
        (asking(BODY, b": b"), 400),
        (asking(BODY, b"content-length: 7"), 400),
        (asking(BODY, b"content-length: -1"), 400),
        (asking(BODY, b"content-length: 0x10"), 400),
        (asking(BODY, b"content-length: 1, 2"), 400),
        (asking(BODY, b"transfer-encoding: chunked"), 400),
        (asking(BODY, b"transfer-encoding: gzip, chunked"), 400),
        (ASK + b"transfer-encoding: identity\r\n\r\n", 400),
        (ASK + b"transfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (ASK + b"transfer-encoding: chunked\r\n\r\n-1\r\n", 400),
        (ASK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n", 400),
        (ASK + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffffffff\r\n", 400),
        (ASK + b"transfer-encoding: chunked\r\n\r\n1fff\r\n" + b"x" * 7_000, 413),
        (asking(b"", length=10**19), 413),
        (asking(BODY, b"x-a: " + b"b" * 100_000), 431),
        (b"GET /" + b"a" * 100_000, 431),
    ],
    ids=range(25),
)
def test_what_is_no_request_is_an_error_in_openais_form(
    one: Serving, model: SimulatedServer, data: bytes, status: int
) -> None:
    assert error_of(answer(one, data))[0] == status
    assert model.calls == []


def test_a_header_on_several_lines_is_one_header(one: Serving, model: SimulatedServer) -> None:
    data = answer(one, asking(BODY, b"x-a: b\r\n set-cookie: c\r\n\tx-evil: 1", b"connection: close"))
    assert data.startswith(b"HTTP/1.1 200")
    [call] = model.calls
    assert call.headers["x-a"].split() == ["b", "set-cookie:", "c", "x-evil:", "1"]
    assert "x-evil" not in call.headers


def test_requests_that_come_together_are_answered_in_their_order(one: Serving) -> None:
    last = b"GET /readyz HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n"
    data = answer(one, HEALTH + asking(b"{}") + HEALTH + last)
    assert [part.split()[0] for part in data.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400", b"200", b"200"]
    assert data.endswith(b"ready\n")


def test_who_waits_to_be_told_to_continue_is_told_so_where_the_body_is_wanted(one: Serving) -> None:
    head, _, body = asking(BODY, b"expect: 100-continue", b"connection: close").partition(b"\r\n\r\n")
    with sending(one, head + b"\r\n\r\n") as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert until_closed(connection).startswith(b"HTTP/1.1 200")
    refused = asking(b"", b"expect: 100-continue", b"connection: close", length=1_000_000)
    assert answer(one, refused).startswith(b"HTTP/1.1 413")


def test_a_client_of_http_1_0_is_answered_without_chunks(one: Serving) -> None:
    body = json.dumps({**json.loads(BODY), "stream": True}).encode()
    data = answer(one, b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    head, _, told = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"transfer-encoding" not in head.lower()
    assert told.startswith(b"data: {")
    assert told.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("before", "path", "status"),
    [
        (b"http://edge", b"/healthz", 200),
        (b"HTTP://edge:8400", b"/healthz?now=1", 200),
        (b"https://[::1]:8400", b"/healthz", 200),
        (b"http://", b"/healthz", 200),
        (b"http://edge/v1", b"/v1/models", 404),
        (b"http://edge", b"/v1/%2e%2e/models", 404),
        (b"http://edge", b"", 404),
        (b"http://edge", b"/http://edge/healthz", 404),
        (b"ftp://edge", b"/healthz", 404),
        (b"//edge", b"/healthz", 404),
    ],
)
def test_a_target_in_absolute_form_is_its_path(one: Serving, before: bytes, path: bytes, status: int) -> None:
    data = answer(one, b"GET %b%b HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n" % (before, path))
    assert int(data.split()[1]) == status


def test_a_question_to_a_target_in_absolute_form_is_answered(one: Serving) -> None:
    data = answer(one, asking(BODY, b"connection: close").replace(b"POST /", b"POST http://edge:8400/"))
    assert data.startswith(b"HTTP/1.1 200")


def test_one_connection_too_many_is_told_to_come_back(one: Serving) -> None:
    idle = [socket.create_connection(("127.0.0.1", one.port), timeout=WAIT_S) for _ in range(60)]
    try:
        told = [until_closed(connection) for connection in idle]
    finally:
        for connection in idle:
            connection.close()
    refused = [data for data in told if data]
    assert len(refused) >= 20
    assert {error_of(data) for data in refused} == {(429, "too_many_requests")}
    assert all(b"retry-after: 1" in data for data in refused)
