"""A live answer: the stream of a model's server, told on chunk by chunk and put together to the whole answer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import httpx
from pydantic_core import from_json, to_json

from refrain.schemas.progress import ProgressPlace

Relay = Callable[[ProgressPlace, int, dict[str, Any]], None]
"""Gets each chunk of an answer, with where its requester hears of it and the number of the try that it is from."""
ATTEMPTS = 2**31 - 1
LINE_BYTES_MAX = 1_000_000
END_S = 0.05
"""How long the end of a response may take after its last event."""
DATA = b"data:"
DONE = b"[DONE]"
JOINED = frozenset({"content", "refusal", "reasoning_content", "reasoning", "arguments"})
"""Fields of a delta whose texts make one text together."""


class BrokenStream(Exception):
    """A stream that is none, or ended in the middle. The text does not quote it."""


def tell_nobody(place: ProgressPlace, attempt: int, chunk: dict[str, Any]) -> None:
    """A relay for who has nobody to tell."""
    return


def new_attempt() -> int:
    """A number for a try to answer a forward, from 1 to `ATTEMPTS`, drawn by lot.

    A worker that takes over a forward does not know how many tries one that was killed has made of it.
    """
    return 1 + secrets.randbelow(ATTEMPTS)


def is_stream(response: httpx.Response) -> bool:
    """Whether the server answers with events, and not at once."""
    return bool(response.headers.get("content-type", "").lower().startswith("text/event-stream"))


class LiveAnswer:
    """The answer to one forward, as its stream brings it."""

    def __init__(self, place: ProgressPlace, relay: Relay) -> None:
        self._place = place
        self._relay = relay
        self._attempt = new_attempt()
        self.relayed = False
        """Whether somebody has heard the beginning of the answer."""

    async def read(self, response: httpx.Response, bytes_max: int) -> bytes | None:
        """Read the stream to its end: the whole answer as JSON, None for one that is larger than `bytes_max`.

        Raises BrokenStream, and httpx.TransportError for a connection that fails.
        """
        whole, size = WholeAnswer(), 0
        events = _events(response)
        async for data in events:
            if data == DONE:
                whole.done = True
                await _read_to_the_end(events)
                break
            chunk = _chunk(data)
            size += len(data)
            # Each chunk repeats what frames it: the text in it is a small part.
            if size > 50 * bytes_max:
                return None
            whole.add(chunk)
            if chunk.get("choices"):
                self.relayed = True
                self._relay(self._place, self._attempt, chunk)
        body = to_json(whole.body())
        return body if len(body) <= bytes_max else None


class WholeAnswer:
    """A chat.completion put together from its chunks."""

    def __init__(self) -> None:
        self._frame: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self.done = False
        """Whether the server said that it is the end."""

    def add(self, chunk: dict[str, Any]) -> None:
        """Take one chunk. Raises BrokenStream for one that is no chunk."""
        for key, value in chunk.items():
            if key != "choices" and value is not None:
                self._frame[key] = value
        choices = chunk.get("choices")
        for each in choices if isinstance(choices, list) else ():
            if not isinstance(each, dict) or not isinstance(each.get("index", 0), int):
                raise BrokenStream("a choice in it is none")
            self._add(self._choices.setdefault(each.get("index", 0), {"message": {"role": "assistant"}}), each)

    def body(self) -> dict[str, Any]:
        """The chat.completion. Raises BrokenStream where the stream ended in the middle of it."""
        if "error" in self._frame:
            return self._frame
        ended = all(choice.get("finish_reason") for choice in self._choices.values())
        if not self._choices or not (self.done or ended):
            raise BrokenStream("it ended in the middle of the answer")
        choices = [{"index": index, **choice} for index, choice in sorted(self._choices.items())]
        for choice in choices:
            choice["message"].setdefault("content", None)
            choice.setdefault("finish_reason", "stop")
        return {**self._frame, "object": "chat.completion", "choices": choices}

    def _add(self, choice: dict[str, Any], part: dict[str, Any]) -> None:
        delta = part.get("delta")
        if isinstance(delta, dict):
            _join(choice["message"], delta)
        for key, value in part.items():
            if key in ("index", "delta") or value is None:
                continue
            if key == "logprobs" and isinstance(value, dict):
                _join_lists(choice.setdefault("logprobs", {}), value)
            else:
                choice[key] = value


def _join(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if value is None:
            continue
        known = message.get(key)
        if key in JOINED and isinstance(value, str):
            message[key] = (known if isinstance(known, str) else "") + value
        elif key == "tool_calls" and isinstance(value, list):
            _join_calls(message.setdefault(key, []), value)
        elif key in ("function", "function_call") and isinstance(value, dict) and isinstance(known, dict):
            _join(known, value)
        elif isinstance(value, dict):
            message[key] = dict(value)
        else:
            message[key] = value


def _join_calls(calls: list[dict[str, Any]], parts: list[Any]) -> None:
    for part in parts:
        if not isinstance(part, dict):
            raise BrokenStream("a tool call in it is none")
        at = part.get("index", len(calls))
        if not isinstance(at, int) or not 0 <= at <= len(calls):
            raise BrokenStream("a tool call in it has no place")
        if at == len(calls):
            calls.append({})
        _join(calls[at], {key: value for key, value in part.items() if key != "index"})


def _join_lists(known: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, list) and isinstance(known.get(key), list):
            known[key] = [*known[key], *value]
        elif value is not None:
            known[key] = value


def _chunk(data: bytes) -> dict[str, Any]:
    try:
        chunk = from_json(data, allow_inf_nan=False)
    except ValueError:
        raise BrokenStream("an event in it is not JSON") from None
    if not isinstance(chunk, dict):
        raise BrokenStream("an event in it is not a JSON object")
    return chunk


async def _read_to_the_end(events: AsyncIterator[bytes]) -> None:
    """Read past the last event: a connection whose response was not read to its end serves no other request.

    A server that does not end its response then keeps nobody waiting, and loses the connection.
    """
    with suppress(TimeoutError, BrokenStream, httpx.TransportError):
        async with asyncio.timeout(END_S):
            async for _ in events:
                continue


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    """The data of each event; comments and other fields are passed over."""
    rest, lines = b"", list[bytes]()
    async for part in response.aiter_bytes():
        rest += part
        *whole, rest = rest.replace(b"\r\n", b"\n").split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise BrokenStream("a line in it is too long")
        for line in whole:
            if line.startswith(DATA):
                lines.append(line.removeprefix(DATA).strip())
            elif not line and lines:
                yield b"\n".join(lines)
                lines = []
    if rest.startswith(DATA):
        lines.append(rest.removeprefix(DATA).strip())
    if lines:
        yield b"\n".join(lines)
