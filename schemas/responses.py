"""`responses`: what clients get, one a request (repeats are byte-identical)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from refrain.schemas.base import Dependence, Message, Micros, Part


class Outcome(StrEnum):
    """How a request was answered."""

    HIT = "hit"
    MISS = "miss"
    COALESCED = "coalesced"
    BYPASS = "bypass"
    ERROR = "error"


class Problem(Part):
    """Why there is no answer: `code` for programs, `message` for people, says what to do."""

    code: str
    message: str


class DecisionSummary(Part):
    """What a client is told of the decision; the whole of it is in `decisions` under `id`."""

    id: str
    partition: int | None = None
    """The shard, with `offset` the place of the decision in the journal, as in the decision; None where the request
    passed the cache by before the journal had it."""
    offset: int | None = None
    category: str | None = None
    similarity: Micros | None = None
    score: Micros | None = None
    """What the guards' evidence leaves of the similarity."""
    threshold: Micros | None = None
    policy_version: int | None = None
    load: float = 0.0
    entry_id: str | None = None
    entry_age_ms: int | None = None
    stale: bool = False
    """Whether the answer is beyond its lifetime; a new one is on its way."""
    head_weight: Micros | None = None
    """What the category's trained head takes off the similarity, as in the decision."""
    guards: tuple[dict[str, Any], ...] = ()
    """What the guards said, as in the decision."""
    depends: Dependence | None = None
    """By what words the answer depends on now or on who asks, as in the decision."""
    reason: str


class Response(Message):
    """The answer to one request. `body` is a chat.completion object, None when `outcome` is error."""

    request_id: str | None = None
    tenant: str | None = None
    outcome: Outcome
    body: dict[str, Any] | None = None
    error: Problem | None = None
    decision: DecisionSummary | None = Field(default=None)
    """None when the request could not be read far enough to decide anything."""
