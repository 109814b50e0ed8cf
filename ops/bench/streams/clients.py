"""Clients of `bench streams`: connections that ask for a stream and read it, as little as that takes."""

from __future__ import annotations

import asyncio
import json
import time

HOST = "127.0.0.1"
BODY = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "How long is it?"}]}).encode()
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nhost: %b\r\ncontent-length: %d\r\n\r\n%b" % (
    HOST.encode(),
    len(BODY),
    BODY,
)
DONE = b"data: [DONE]"


class StreamClient(asyncio.Protocol):
    """One stream: its status, when its first piece came, whether it came to its end."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[int] = loop.create_future()
        """The status, when the first piece or an error is here."""
        self.closed: asyncio.Future[None] = loop.create_future()
        self.head = b""
        self.first_ms = 0.0
        self.pieces = 0
        self.whole = False
        self._asked_s = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._asked_s = transport, time.perf_counter()
        transport.write(ASK)

    def data_received(self, data: bytes) -> None:
        """Count pieces; the first one, or an error, is the beginning."""
        if not self.begun.done():
            self.head += data
            status = int(self.head[9:12]) if len(self.head) > 12 else 0
            if status != 200 or b"data: {" in self.head:
                self.first_ms = (time.perf_counter() - self._asked_s) * 1_000
                self.begun.set_result(status)
        self.pieces += data.count(b'"content":"word ')
        if DONE in data:
            self.whole = True
            self.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over; what has not begun never will."""
        if not self.begun.done():
            self.begun.set_result(0)
        # The transport closes its socket after this.
        asyncio.get_running_loop().call_soon(self.closed.set_result, None)

    def leave(self) -> None:
        """Break the connection off."""
        if self._transport is not None:
            self._transport.abort()


async def opened(port: int) -> StreamClient:
    """A stream that was asked for."""
    _, client = await asyncio.get_running_loop().create_connection(StreamClient, HOST, port)
    return client


async def healthy_ms(port: int, path: bytes) -> float:
    """How long a route that tells of health takes (milliseconds). Raises OSError where it is not 200."""
    begun_s = time.perf_counter()
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(b"GET %b HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n" % (path, HOST.encode()))
        told = await reader.read()
        if not told.startswith(b"HTTP/1.1 200"):
            raise OSError(f"{path.decode()} was answered by {told[:60]!r}")
        return (time.perf_counter() - begun_s) * 1_000
    finally:
        writer.close()
        await writer.wait_closed()
