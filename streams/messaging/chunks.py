"""A whole answer as the chunks of a stream: `chat.completion` in, `chat.completion.chunk` objects out. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

Body = Mapping[str, Any]

PIECES_MAX = 500
"""Of one text; the pieces of a longer one have several words."""
ELSEWHERE = frozenset({"choices", "usage", "object"})
"""Fields of an answer that have a place of their own in its chunks."""
_WORD = re.compile(r"\s*\S+\s*?(?=\s|$)|\s+$")


def chunks_of(answer: Body, *, with_usage: bool, begun: Collection[int] = ()) -> Iterator[dict[str, Any]]:
    """The chunks of an answer: each choice's role, its text in pieces, what else it holds, its end; then the usage.

    What the pieces of a text say together is the text, character by character. Of choices that are `begun` (by their
    index) the role is known.
    """
    frame = {key: value for key, value in answer.items() if key not in ELSEWHERE}
    frame["object"] = "chat.completion.chunk"
    if with_usage:
        frame["usage"] = None
    choices = answer.get("choices")
    for place, choice in enumerate(choices if isinstance(choices, list) else ()):
        if isinstance(choice, Mapping):
            for part in _parts(choice, place, begun):
                yield {**frame, "choices": [part]}
    if with_usage:
        yield {**frame, "choices": [], "usage": answer.get("usage") or _no_usage()}


def pieces(text: str) -> list[str]:
    """The words of a text with the space before each; of a long text several words each. Joined they are the text."""
    words = _WORD.findall(text)
    if "".join(words) != text:
        words = [text]
    step = -(-len(words) // PIECES_MAX) or 1
    return ["".join(words[at : at + step]) for at in range(0, len(words), step)]


def _parts(choice: Mapping[str, Any], place: int, begun: Collection[int]) -> Iterator[dict[str, Any]]:
    index = choice.get("index", place)
    message = choice.get("message")
    fields = dict(message) if isinstance(message, Mapping) else {}
    role = fields.pop("role", "assistant")
    content = fields.pop("content", None)
    calls = fields.pop("tool_calls", None)
    whole = isinstance(content, str)
    if index not in begun:
        yield _part(index, {"role": role, "content": "" if whole else content})
    if isinstance(content, str):
        for piece in pieces(content):
            yield _part(index, {"content": piece})
    for at, call in enumerate(calls if isinstance(calls, list) else ()):
        yield _part(index, {"tool_calls": [{"index": at, **call} if isinstance(call, Mapping) else call]})
    left = {key: value for key, value in fields.items() if value is not None}
    if left:
        yield _part(index, left)
    end = _part(index, {}, choice.get("finish_reason") or "stop")
    for key, value in choice.items():
        if key not in ("index", "message", "finish_reason"):
            end[key] = value
    yield end


def _part(index: Any, delta: dict[str, Any], finish_reason: Any = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish_reason}


def _no_usage() -> dict[str, int]:
    return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
