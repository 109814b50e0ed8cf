"""`responses`: what clients get, one a request (repeats are byte-identical)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from refrain.schemas.base import Bounded, Dependence, Message, Micros, Part
from refrain.schemas.policy import Guard


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
    """For programs: one of the error codes, or what a connector of your own gives."""
    message: str
    """For people: what happened and what to do."""


class GuardTold(Part):
    """What a client is told of one guard: which of the words that decided are its own, and how many are not."""

    entry_id: str
    """The entry, or the forward of the question on its way."""
    guard: Guard
    verdict: Literal["passed", "weighed", "refused", "not_applicable"]
    words: tuple[str, ...] = ()
    """The words that decided it, of the question that was asked."""
    other_words: Annotated[int, Field(ge=0)] = 0
    """How many more did: of the other question, whose words are not told."""
    weight: Micros = 0.0
    """What a weighed difference takes off the similarity; 0: it does not count in texts worded so differently."""


class DecisionSummary(Part):
    """What a client is told of the decision; the whole of it is in `decisions` under `id`.

    Similarities and scores have two digits unless the category's policy says `show_similarity`: each tells how near a
    question of somebody else is. One that reaches the threshold is rounded up, any other one down.
    """

    id: str
    """The decision's id, `PARTITION-OFFSET-TAG` by the request's place."""
    partition: int | None = None
    """The shard, with `offset` the place of the decision in the journal, as in the decision; None where the request
    passed the cache by before the journal had it."""
    offset: int | None = None
    """The journal record that brought the decision about."""
    category: str | None = None
    """The category that counted; null when none was told."""
    similarity: Micros | None = None
    """Of the best candidate; to two digits unless the category's policy shows all."""
    score: Micros | None = None
    """What the guards' evidence leaves of the similarity."""
    threshold: Micros | None = None
    policy_version: int | None = None
    load: float = 0.0
    entry_id: str | None = None
    """The entry that was served, `PARTITION-OFFSET-TAG`."""
    entry_age_ms: int | None = None
    """How old it was."""
    stale: bool = False
    """Whether the answer is beyond its lifetime; a new one is on its way."""
    head_weight: Micros | None = None
    """What the category's trained head takes off the similarity, to as many digits."""
    guards: Annotated[tuple[GuardTold, ...], Bounded] = ()
    """What the guards said, with the words of the asker's own question alone."""
    depends: Dependence | None = None
    """By what words of the question the answer depends on now or on who asks."""
    reason: str
    """Why the outcome is what it is: one of the reasons of `decisions`."""


class Response(Message):
    """The answer to one request. `body` is a chat.completion object, None when `outcome` is error."""

    request_id: str | None = None
    """The request's."""
    tenant: str | None = None
    """The request's."""
    outcome: Outcome
    body: dict[str, Any] | None = None
    """A `chat.completion` object; null when the outcome is `error`."""
    error: Problem | None = None
    """Why there is no answer; null when there is one."""
    decision: DecisionSummary | None = Field(default=None)
    """None when the request could not be read far enough to decide anything."""
    warnings: Annotated[tuple[str, ...], Bounded, Field(exclude_if=lambda warnings: not warnings)] = ()
    """What was taken and is probably not meant: a field or a category that does not exist, with the nearest that does.
    Absent where there is nothing to say."""
