"""A client's connection: HTTP by uvicorn, and bounds on what a client may do without a request at work.

uvicorn bounds neither how long the head of a request may take, nor how long a client may take nothing of what is sent
to it. Both are looked at once a second for every connection (`look`): timers of their own would cost each request.
"""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from typing import ClassVar

import h11
from pydantic_core import to_json
from uvicorn.protocols.http.h11_impl import H11Protocol

from refrain.streams.edge.problems import HttpProblem, headers_too_large, overloaded
from refrain.streams.settings import Edge

HEAD_BYTES_MAX = 65_536
"""Bytes of a request line with all headers."""
SPARE_CONNECTIONS = 1_000
"""Connections beyond the requests at work where the settings name no number: idle ones, and those that get 429."""


def connections_max(settings: Edge) -> int:
    """How many connections there may be."""
    if settings.connections_max is not None:
        return settings.connections_max
    return settings.in_flight_max + SPARE_CONNECTIONS


class Connection(H11Protocol):
    """A connection within `limits`."""

    limits: ClassVar[Edge] = Edge()

    _head_since_s: float | None = None
    """Since when the client sends what is no whole request, while none is at work; None: it is idle or waits."""
    _taking_since_s: float | None = None
    """Since when the client takes too little of what is sent to it; None: it takes enough."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it where there are enough."""
        super().connection_made(transport)
        self._head_since_s = self.loop.time()
        _give_up_the_vanished(transport, self.limits.write_timeout_ms)
        most = connections_max(self.limits)
        if len(self.connections) > most:
            self._refuse(overloaded(most, "connections are open"))

    def data_received(self, data: bytes) -> None:
        """Take what came, and mind since when a request is on its way."""
        super().data_received(data)
        if self._at_work():
            self._head_since_s = None
        elif self._head_since_s is None:
            self._head_since_s = self.loop.time()

    def on_response_complete(self) -> None:
        """The client is idle until it sends its next request, of which a part may be here."""
        super().on_response_complete()
        begun = not self._at_work() and self.conn.trailing_data[0]
        self._head_since_s = self.loop.time() if begun else None

    def pause_writing(self) -> None:
        """What is sent waits for the client."""
        self._taking_since_s = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has taken what waited."""
        self._taking_since_s = None
        super().resume_writing()

    def look(self, now_s: float) -> None:
        """Give the client up where it takes too long. `now_s` is the loop's time."""
        if self.transport.is_closing():
            # It closes when all is sent: a client that takes nothing would keep it open.
            self._taking_since_s = now_s if self._taking_since_s is None else self._taking_since_s
        if self._taking_since_s is not None:
            if now_s - self._taking_since_s > self.limits.write_timeout_ms / 1_000:
                self.transport.abort()
        elif self._head_since_s is not None and now_s - self._head_since_s > self.limits.read_timeout_ms / 1_000:
            self._end_the_slow()

    def shutdown(self) -> None:
        """End when the request at work is answered; at once where there is none."""
        if not self.transport.is_closing():
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Tell of a request that is no HTTP, in OpenAI's form; `msg` is uvicorn's."""
        if len(self.conn.trailing_data[0]) > HEAD_BYTES_MAX:
            self._refuse(headers_too_large(HEAD_BYTES_MAX))
        else:
            self._refuse(HttpProblem(400, "bad_request", "the request is no valid HTTP/1.1: mend the client"))

    def _at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _end_the_slow(self) -> None:
        if not self.conn.trailing_data[0] and self.conn.their_state is h11.IDLE:
            # It has asked for nothing: to the next request of a client that is late, an answer would be another's.
            self.transport.close()
            return
        text = f"the request did not come within {self.limits.read_timeout_ms} ms: send it faster"
        self._refuse(HttpProblem(408, "request_timeout", text))

    def _refuse(self, problem: HttpProblem) -> None:
        """Answer without the application, and close. Where an answer has begun only the latter."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body, reason = to_json(problem.body()), HTTPStatus(problem.status).phrase
            headers = {
                **problem.headers,
                "content-type": "application/json",
                "content-length": str(len(body)),
                "connection": "close",
            }
            for event in (
                h11.Response(status_code=problem.status, headers=list(headers.items()), reason=reason),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def connection_of(settings: Edge) -> type[Connection]:
    """The class of connections within these limits."""

    class Limited(Connection):
        limits = settings

    return Limited


def _give_up_the_vanished(transport: asyncio.Transport, after_ms: int) -> None:
    """Have the kernel close a connection whose peer acknowledges nothing for `after_ms`."""
    one = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if one is not None and option is not None:
        one.setsockopt(socket.IPPROTO_TCP, option, after_ms)
