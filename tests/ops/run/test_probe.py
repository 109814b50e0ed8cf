"""A process is asked for a page: what it answers is told, and that it does not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from refrain.ops.run.probe import NoAnswer, Page, page

WAIT_S = 20.0


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """The port of a process that answers the first who asks with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as asked:
                asked.recv(10_000)
                asked.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(WAIT_S)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready", Page(200, "ready")),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 8\r\n\r\nrestores", Page(503, "restores")),
        (b"HTTP/1.0 200 OK\r\n\r\n\xff", Page(200, "\ufffd")),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", Page(302, "")),
    ],
)
def test_what_is_answered_is_told(answer: bytes, told: Page) -> None:
    with answering(answer) as port:
        assert page("127.0.0.1", port, "/readyz", WAIT_S) == told


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-Server\r\n", b"HTTP/1.1 twice OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nrea"],
)
def test_what_is_no_answer_is_none(answer: bytes) -> None:
    with answering(answer) as port, pytest.raises(NoAnswer):
        page("127.0.0.1", port, "/readyz", WAIT_S)


def test_where_nobody_listens_nobody_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NoAnswer, match="Refused"):
            page("127.0.0.1", taken.getsockname()[1], "/readyz", WAIT_S)
