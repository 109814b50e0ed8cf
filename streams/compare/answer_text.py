"""The text of an answer, to be compared: from the projection that is stored of it."""

from __future__ import annotations

from typing import Any

from refrain.schemas.base import Part, Sealed
from refrain.streams.messaging.decoding import read
from refrain.streams.messaging.responses import compact

_OF_THE_SERVER = frozenset({"id", "index"})
"""Fields of a tool call that number it and say nothing."""


class _Message(Part):
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = None
    refusal: str | None = None


class _Kept(Part):
    message: _Message


def text_of(answer: Sealed) -> str:
    """The text of a projection's message: its content, or its refusal, then its tool calls as JSON without ids.

    Empty when it says nothing. Raises Refusal (UNREADABLE, TOO_DEEP, BAD_FIELD) when it is no projection.
    """
    message = read(answer.data.encode(), _Kept.model_validate_json).message
    calls = [_said(call) for call in message.tool_calls or ()]
    if message.function_call is not None:
        calls.append(message.function_call)
    said = [_text(message.content), message.refusal or "", *map(compact, calls)]
    return "\n".join(each for each in said if each.strip())


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, list):
        return "\n".join(text for part in content if isinstance(text := part.get("text"), str))
    return content or ""


def _said(call: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in call.items() if name not in _OF_THE_SERVER}
