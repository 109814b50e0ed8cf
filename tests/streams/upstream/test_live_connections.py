"""The connections of live answers: kept for the next one, and let go where a server does not end its response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from refrain.schemas.forwards import Forward
from refrain.schemas.progress import ProgressPlace
from refrain.streams.settings import Upstream
from refrain.streams.upstream.http_model import HttpModel
from refrain.streams.upstream.model import Answer

WAIT_S = 30.0
CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def no_end(writer: asyncio.StreamWriter) -> None:
    """The server says that it is done, and no more."""


async def end(writer: asyncio.StreamWriter) -> None:
    writer.write(END)


async def more(writer: asyncio.StreamWriter) -> None:
    """The server goes on and on."""
    while not writer.is_closing():
        writer.write(chunked(CHUNK))
        await writer.drain()
        await asyncio.sleep(0.001)


async def gone(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def answers(ending: Callable[[asyncio.StreamWriter], Awaitable[None]], count: int) -> tuple[list[Answer], int]:
    """Ask so often, one after the other, a server that ends its responses so; and the connections that it took."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
                writer.write(HEAD + chunked(CHUNK + b"data: [DONE]\n\n"))
                await ending(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def ask() -> list[Answer]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            model = HttpModel(Upstream(base_url=f"http://127.0.0.1:{port}/v1"), lambda: 0)
            try:
                async with asyncio.timeout(WAIT_S):
                    return [await model.answer(forward(number)) for number in range(count)]
            finally:
                await model.close()

    return asyncio.run(ask()), connections


def forward(number: int) -> Forward:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Is it?"}]}
    place = ProgressPlace(partition=0, id="a")
    return Forward(forward_id=f"f-{number}", model="m", body=body, deadline_at_ms=10**12, route="r", progress=place)


def test_live_answers_come_over_one_connection_one_after_the_other() -> None:
    found, connections = answers(end, 5)
    assert [answer.problem for answer in found] == [None] * 5
    assert connections == 1


@pytest.mark.parametrize("ending", [no_end, more, gone])
def test_a_server_that_does_not_end_its_response_keeps_nobody_waiting(
    ending: Callable[[asyncio.StreamWriter], Awaitable[None]],
) -> None:
    found, connections = answers(ending, 2)
    assert [answer.problem for answer in found] == [None] * 2
    assert found[0].body is not None
    assert found[0].body["choices"][0]["message"]["content"] == "Yes."
    assert connections == 2
