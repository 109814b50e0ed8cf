"""Parses questions of the command line: a text, or a file of lines or of JSON requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from refrain.schemas.base import Source
from refrain.schemas.requests import CacheMode, Request
from refrain.streams.errors import BadInput
from refrain.streams.messaging.warnings import warnings_of

QUESTION = "question"
"""The field of an object that stands for a body with this one message."""


@dataclass(frozen=True)
class Defaults:
    """Default request fields, for questions that do not set them."""

    model: str
    category: str | None = None
    tenant: str = "default"
    system: str | None = None
    cache: CacheMode = CacheMode.USE
    tags: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    vary: Mapping[str, Any] = field(default_factory=dict)


def request_of(question: str, defaults: Defaults) -> Request:
    """A request that asks `question`. Raises pydantic.ValidationError."""
    messages = [{"role": "system", "content": defaults.system}] if defaults.system else []
    messages.append({"role": "user", "content": question})
    return Request(
        tenant=defaults.tenant,
        category=defaults.category,
        cache=defaults.cache,
        tags=defaults.tags,
        sources=defaults.sources,
        vary=dict(defaults.vary),
        body={"model": defaults.model, "messages": messages},
    )


def read_questions(
    lines: Iterable[str], defaults: Defaults, source: str, warn: Callable[[str], None] = lambda said: None
) -> list[Request]:
    """One request a line, empty lines left out: a question, or a JSON object with the fields of a request.

    An object may say `question` instead of `body`. Of fields that no request has `warn` is told, as the service does of
    requests that hold some: what is read here holds none any more. Raises BadInput naming source and line.
    """
    out = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        try:
            if not text.startswith("{"):
                out.append(request_of(text, defaults))
                continue
            fields = json.loads(text)
            out.append(_from_json(fields, defaults))
            for said in warnings_of({name: fields[name] for name in fields if name != QUESTION}, None, None):
                warn(f"{source}, line {number}: {said}")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "line"
            raise BadInput(f"{source}, line {number}: {where}: {first['msg']}") from error
        except ValueError as error:
            raise BadInput(f"{source}, line {number}: not a JSON object: {error}") from error
    if not out:
        raise BadInput(f"{source} holds no question: write one a line")
    return out


def question_of(request: Request) -> str:
    """The text of the last user message, as far as there is one."""
    messages = request.body.get("messages")
    for message in reversed(messages) if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return ""


def answer_of(body: dict[str, Any] | None) -> str:
    """The text of the first choice of a chat.completion, as far as there is one."""
    try:
        content = body["choices"][0]["message"]["content"] if body is not None else ""
    except (KeyError, IndexError, TypeError):
        return ""
    return content if isinstance(content, str) else ""


def _from_json(fields: dict[str, Any], defaults: Defaults) -> Request:
    if QUESTION in fields:
        base = request_of(str(fields[QUESTION]), defaults).model_dump(mode="json", exclude={"v"})
        return Request.model_validate({**base, **fields})
    given = {
        "tenant": defaults.tenant,
        "category": defaults.category,
        "cache": defaults.cache,
        "tags": defaults.tags,
        "sources": defaults.sources,
        "vary": dict(defaults.vary),
    }
    return Request.model_validate({**given, **fields})
