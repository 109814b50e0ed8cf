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
    """Whose it is, where nothing else tells; tenants never share answers, unless a category's policy says `scope:
    shared`."""
    category: Name | None = None
    """The category of the traffic; null: the policy's rules and examples tell it. One that the policy does not define
    is passed straight through."""
    cache: CacheMode = CacheMode.USE
    """What the cache may do for this request."""
    vary: dict[str, Any] = Field(default_factory=dict)
    """What the answer depends on and the body cannot say: permissions, locale."""
    tags: Annotated[tuple[Tag, ...], Field(max_length=32)] = ()
    """Kept with the answer for `invalidate`, and rules may route by them; they need not match."""
    sources: Annotated[tuple[Source, ...], Field(max_length=64)] = ()
    """The documents that the answer draws on; they must match exactly, in any order."""
    deadline_at_ms: Millis | None = None
    """When nobody waits any more; cut to the policy's `limits.answer_timeout_ms` after the question came."""
    body: dict[str, Any]
    """An OpenAI chat-completions request: `model`, and `messages` with at least one object."""
