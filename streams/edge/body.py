"""Reads the body of a request, within bounds of size and time."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from refrain.streams.edge.problems import HttpProblem


async def read_body(request: Request, bytes_max: int, timeout_ms: int) -> bytes:
    """The whole body. Raises HttpProblem(400, 408, 413), ClientDisconnect."""
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        # Where it ends, whoever stands between may see otherwise.
        text = "the request has both `content-length` and `transfer-encoding`: send one of them"
        raise HttpProblem(400, "bad_request", text, headers={"connection": "close"})
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said) > bytes_max:
        raise _too_large(bytes_max)
    data = bytearray()
    try:
        async with asyncio.timeout(timeout_ms / 1_000):
            async for part in request.stream():
                data += part
                if len(data) > bytes_max:
                    raise _too_large(bytes_max)
    except TimeoutError:
        text = f"the request did not come within {timeout_ms} ms: send it faster"
        raise HttpProblem(408, "request_timeout", text, headers={"connection": "close"}) from None
    return bytes(data)


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


def _too_large(bytes_max: int) -> HttpProblem:
    text = f"the body is larger than {bytes_max} bytes: shorten it"
    return HttpProblem(413, "too_large", text, headers={"connection": "close"})


def _place(wrong: ValueError) -> str:
    _, _, place = str(wrong).rpartition(" at ")
    return f"see {place}" if place.startswith("line ") else "mend it"


__all__ = ["ClientDisconnect", "chat_body", "read_body"]
