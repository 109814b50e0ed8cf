"""A live stream: the chunks of a model's server passed on, and what the whole answer has beyond them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refrain.schemas.progress import Progress
from refrain.streams.edge.problems import HttpProblem
from refrain.streams.messaging.chunks import Body, chunks_of

FRAME = ("id", "created", "model")


class LiveChunks:
    """What was passed on of one answer, and what is left of it."""

    def __init__(self, *, with_usage: bool) -> None:
        self._with_usage = with_usage
        self._attempt: int | None = None
        self._frame: dict[str, Any] = {}
        self._texts: dict[int, str] = {}

    def take(self, progress: Progress) -> dict[str, Any] | None:
        """The chunk to pass on for what was heard; None where there is nothing to pass on."""
        chunk = progress.chunk
        if chunk is None or self._attempt not in (None, progress.attempt):
            return None
        self._attempt = progress.attempt
        choices = chunk.get("choices")
        passed = [part for each in (choices if isinstance(choices, list) else ()) if (part := self._passed(each))]
        if not passed:
            return None
        # One stream is one answer: the ids of its first chunk are those of all.
        self._frame = self._frame or {key: chunk[key] for key in FRAME if key in chunk}
        own = {key: value for key, value in chunk.items() if key not in ("choices", "usage")}
        told = {**own, **self._frame, "object": "chat.completion.chunk", "choices": passed}
        return {**told, "usage": None} if self._with_usage else told

    def rest(self, answer: Body) -> Iterator[dict[str, Any]]:
        """The chunks that are left of the whole answer. Raises HttpProblem where it is not the one that began."""
        choices = answer.get("choices")
        left = [self._left(each, place) for place, each in enumerate(choices if isinstance(choices, list) else ())]
        whole = {**answer, "choices": left}
        for chunk in chunks_of(whole, with_usage=self._with_usage, begun=self._texts.keys()):
            yield {**chunk, **self._frame}

    def _passed(self, choice: object) -> dict[str, Any] | None:
        """The part of a choice that is passed on: role and text. All else of it is told with the whole answer."""
        if not isinstance(choice, dict):
            return None
        index, delta = choice.get("index", 0), choice.get("delta")
        if not isinstance(index, int) or not isinstance(delta, dict):
            return None
        text = delta.get("content")
        part: dict[str, Any] = {}
        if index not in self._texts:
            part["role"] = delta.get("role") or "assistant"
            part["content"] = ""
            self._texts[index] = ""
        if isinstance(text, str) and text:
            part["content"] = text
            self._texts[index] += text
        return {"index": index, "delta": part, "finish_reason": None} if part else None

    def _left(self, choice: object, place: int) -> object:
        """A choice of the whole answer without the text that was passed on."""
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            return choice
        said = self._texts.get(choice.get("index", place), "")
        content = message.get("content")
        if not said:
            return choice
        if not isinstance(content, str) or not content.startswith(said):
            text = "the model began another answer than the one that it gave in the end: ask again"
            raise HttpProblem(502, "upstream_failed", text)
        return {**choice, "message": {**message, "content": content[len(said) :]}}
