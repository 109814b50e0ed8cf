"""Reads the body of a request, within bounds of size, time and room."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from refrain.streams.edge.problems import HttpProblem
from refrain.streams.settings import Edge

TAKEN = "refrain.room"
"""Where the scope of a request has the bytes of the room that it takes."""
LARGE_AT_ONCE = 8
"""Requests of the largest size that are held at a time."""
UNREAD_BYTES_MAX = 100_000_000
"""A client that sends more than is taken is heard to the end of so many bytes, so that it comes to hear why."""


class Room:
    """The bytes of large bodies that are held at a time, of all requests together."""

    def __init__(self, settings: Edge) -> None:
        self._small = settings.body_bytes_max
        self.left = LARGE_AT_ONCE * max(0, settings.passed_bytes_max - self._small)

    def take(self, request: Request, size: int) -> None:
        """Take room for a body that has grown to `size`. Raises HttpProblem(429) where there is none."""
        before = request.scope.get(TAKEN, 0)
        more = max(0, size - self._small) - before
        if more > self.left:
            text = f"too many bodies above {self._small} bytes are under way: try again in a second"
            raise HttpProblem(429, "too_many_requests", text, headers={"retry-after": "1"})
        if more > 0:
            self.left -= more
            request.scope[TAKEN] = before + more

    def give_back(self, taken: int) -> None:
        """Have the room of a request that is over."""
        self.left += taken


async def read_body(request: Request, settings: Edge, room: Room) -> bytes:
    """The whole body. Raises HttpProblem(400, 408, 413, 429), ClientDisconnect."""
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        # Where it ends, whoever stands between may see otherwise.
        text = "the request has both `content-length` and `transfer-encoding`: send one of them"
        raise HttpProblem(400, "bad_request", text, headers={"connection": "close"})
    bytes_max = max(settings.body_bytes_max, settings.passed_bytes_max)
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said) > bytes_max:
        # Who waits to be told to go on is not told so, and what is very large has no end.
        raise too_large(bytes_max, close=int(said) > UNREAD_BYTES_MAX or "expect" in request.headers)
    data = bytearray()
    each_s = settings.read_timeout_ms / 1_000
    loop = asyncio.get_running_loop()
    until_s = loop.time() + each_s
    try:
        async with asyncio.timeout_at(until_s) as timeout:
            async for part in request.stream():
                data += part
                if len(data) > bytes_max:
                    raise too_large(bytes_max, close="content-length" not in request.headers)
                room.take(request, len(data))
                timeout.reschedule(until_s + each_s * (len(data) // settings.body_bytes_max))
    except TimeoutError:
        text = f"the request did not come within {settings.read_timeout_ms} ms: send it faster"
        raise HttpProblem(408, "request_timeout", text, headers={"connection": "close"}) from None
    return bytes(data)


def plain(request: Request) -> None:
    """Check that the body of a request is not compressed. Raises HttpProblem(415)."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        text = "the body is compressed, and is only taken as it is: send it without `content-encoding`"
        raise HttpProblem(415, "unsupported_encoding", text, param="content-encoding")


def chat_body(data: bytes) -> dict[str, Any]:
    """A chat-completions request as far as the endpoint reads it. Raises HttpProblem(400)."""
    try:
        body = from_json(data, allow_inf_nan=False)
    except ValueError as wrong:
        # Its words tell the place, and not what stands there.
        raise HttpProblem(400, "unreadable", f"the body is not JSON: {_place(wrong)}") from None
    if not isinstance(body, dict):
        raise HttpProblem(400, "unreadable", "the body is not a JSON object")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise HttpProblem(400, "bad_field", "`model` is the name of a model", param="model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise HttpProblem(400, "bad_field", "`messages` is a list of at least one object", param="messages")
    if not isinstance(body.get("stream"), bool | None):
        raise HttpProblem(400, "bad_field", "`stream` is true or false", param="stream")
    if not isinstance(body.get("stream_options"), dict | None):
        raise HttpProblem(400, "bad_field", "`stream_options` is an object", param="stream_options")
    return body


def too_large(bytes_max: int, *, close: bool = False) -> HttpProblem:
    """The error of a body beyond the bound. With `close` the client is not heard any longer, and may hear a reset."""
    text = f"the body is larger than {bytes_max} bytes: shorten it"
    return HttpProblem(413, "too_large", text, headers={"connection": "close"} if close else {})


def _place(wrong: ValueError) -> str:
    _, _, place = str(wrong).rpartition(" at ")
    return f"see {place}" if place.startswith("line ") else "mend it"


__all__ = ["ClientDisconnect", "Room", "chat_body", "plain", "read_body", "too_large"]
