"""`requests`: what clients ask."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from refrain.schemas.base import Message, Millis, Name, Source


class CacheMode(StrEnum):
    """What a client wants of the cache for one request."""

    USE = "use"
    """Serve from the cache, else forward and keep the answer."""
    OBSERVE = "observe"
    """Decide and record as if serving, but serve the model's answer."""
    REFRESH = "refresh"
    """Forward in any case and keep the answer."""
    BYPASS = "bypass"
    """Forward; neither look up nor keep."""
    ONLY = "only"
    """Serve from the cache, else an error: never call a model."""


Tag = Annotated[str, Field(min_length=1, max_length=128)]


class Request(Message):
    """A question: an OpenAI chat-completions `body` and what the cache must know beside it."""

    request_id: Annotated[str, Field(max_length=256)] | None = None
    """Echoed in the response; nothing is keyed by it."""
    tenant: Name = "default"
    category: Name | None = None
    cache: CacheMode = CacheMode.USE
    vary: dict[str, Any] = Field(default_factory=dict)
    """What the answer depends on and the body cannot say: permissions, locale."""
    tags: Annotated[tuple[Tag, ...], Field(max_length=32)] = ()
    sources: Annotated[tuple[Source, ...], Field(max_length=64)] = ()
    deadline_at_ms: Millis | None = None
    body: dict[str, Any]
