"""The question in a chat-completions body, or the one refusal that says why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from refrain.streams.errors import Refusal, RefusalCode

Body = Mapping[str, Any]

MODEL_CHARS_MAX = 256


class Question(NamedTuple):
    """The question: the text of the last message, and which part of its content holds it."""

    text: str
    comparable: bool
    """Whether the text may be compared by meaning; else only an exact match of the whole message serves."""
    part: int | None = None
    """The one text part among the parts of the content, None when the content is a string."""


def question_of(body: Body) -> Question:
    """The question of a chat-completions body. Raises Refusal(BAD_FIELD) or Refusal(EMPTY_QUESTION)."""
    last = _messages(body)[-1]
    content = last.get("content")
    question = Question(content, comparable=True) if isinstance(content, str) else _question_of_parts(content)
    if last.get("role") != "user":
        return question._replace(comparable=False)
    if question.text.strip():
        return question
    if isinstance(content, list) and any(part.get("type") != "text" for part in content):
        return question._replace(comparable=False)
    raise Refusal(RefusalCode.EMPTY_QUESTION, "the last message has no text: ask something")


def check_length(question: Question, chars_max: int) -> None:
    """Check the length of a question. Raises Refusal(QUESTION_TOO_LONG)."""
    if len(question.text) > chars_max:
        raise Refusal(
            RefusalCode.QUESTION_TOO_LONG,
            f"the question has {len(question.text)} characters, {chars_max} are taken: shorten it",
        )


def _messages(body: Body) -> list[dict[str, Any]]:
    model = body.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= MODEL_CHARS_MAX:
        raise _bad(f"body.model must be a text of 1 to {MODEL_CHARS_MAX} characters")
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise _bad("body.messages must be a list of objects")
    if not messages:
        raise Refusal(RefusalCode.EMPTY_QUESTION, "body.messages is empty: ask something")
    return messages


def _question_of_parts(content: Any) -> Question:
    if content is None:
        return Question("", comparable=False)
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise _bad("the content of the last message must be a text or a list of parts")
    at = [number for number, part in enumerate(content) if part.get("type") == "text"]
    texts = [content[number].get("text") for number in at]
    if not all(isinstance(text, str) for text in texts):
        raise _bad("a text part of the last message has no text")
    if len(at) == 1:
        return Question(texts[0], comparable=True, part=at[0])
    return Question("\n".join(texts), comparable=False)


def _bad(text: str) -> Refusal:
    return Refusal(RefusalCode.BAD_FIELD, text)
