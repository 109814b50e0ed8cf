"""`journal`: the events that a shard folds, in one order. Names are in the past tense.

The record's timestamp is the broker's (`LogAppendTime`) and is the shard's only clock.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from refrain.schemas.base import (
    Dependence,
    Message,
    Millis,
    Name,
    Part,
    QuestionKey,
    RecoveryWay,
    Reply,
    Sealed,
    Selection,
)
from refrain.schemas.policy import Cacheable, Policy
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome, Problem


class Origin(Part):
    """Where a request stands: its coordinates make every id that derives from it."""

    topic: str
    """The topic of the request, without the prefix."""
    topic_id: str
    """Its id on the cluster: another one after it was made anew."""
    partition: int
    """The partition of the request."""
    offset: int
    """The offset of the request."""


class Seen(Part):
    """What classify's policy said of the category; the shard follows the stricter of this and its own."""

    policy_version: int
    cache: Cacheable
    """Whether answers may be kept."""
    threshold: float
    """The threshold of its policy."""
    ttl_ms: int
    """The lifetime of its policy."""


class Asked(QuestionKey, Message):
    """A question that may be answered from the cache."""

    kind: Literal["Asked"] = "Asked"
    id: str
    """The id of the decision to make, from the request's coordinates."""
    origin: Origin
    """Where the request stands."""
    request_id: str | None = None
    tenant: Name
    category: Name
    classifier: str
    """What chose the category, and in which version."""
    mode: CacheMode = CacheMode.USE
    """What the client wants of the cache."""
    body: Sealed
    """The request's body as JSON."""
    deadline_at_ms: Millis | None = None
    reply: Reply
    seen: Seen
    """What classify's policy said of the category."""
    depends: Dependence | None = None
    """None in records of an older classify: nothing was looked for."""
    overload: bool = False
    """Whether there was no time to make the vector. The answer to the same text may serve; nothing new is kept."""


class Passed(Message):
    """A question went straight to the model; nothing of its text is here. Makes its decision exactly once."""

    kind: Literal["Passed"] = "Passed"
    id: str
    """The id of the decision to make, from the request's coordinates."""
    origin: Origin
    """Where the request stands."""
    request_id: str | None = None
    tenant: str
    category: str | None
    model: str
    reason: str
    """Why it passed the cache by: a reason of `decisions`."""
    policy_version: int | None = None
    outcome: Outcome = Outcome.BYPASS
    """`error` when no model was asked either."""


class Answered(Message):
    """A model answered a forwarded question. `body` is the whole chat.completion as JSON."""

    kind: Literal["Answered"] = "Answered"
    forward_id: str
    body: Sealed
    """The whole `chat.completion` as JSON."""
    latency_ms: Millis = 0


class AnswerFailed(Message):
    """A forwarded question got no answer."""

    kind: Literal["AnswerFailed"] = "AnswerFailed"
    forward_id: str
    error: Problem


class PolicySet(Message):
    """A policy came into force."""

    kind: Literal["PolicySet"] = "PolicySet"
    version: int
    """The offset of the command in `control`."""
    policy: Policy


class LoadChanged(Message):
    """The load of a model moved."""

    kind: Literal["LoadChanged"] = "LoadChanged"
    version: int
    model: str
    load: Annotated[float, Field(ge=0, le=1)]
    valid_until_ms: Millis
    """When the load counts as 0 again unless it is told anew."""


class AnswerWithheld(Message):
    """A model answered a question of a category that may not be kept any more: its text is not here.

    The requester whose question was forwarded has been told; whoever else waits for it is not.
    """

    kind: Literal["AnswerWithheld"] = "AnswerWithheld"
    forward_id: str


class Verified(Message):
    """A second opinion on a question in doubt: whether the entry's question asks the same."""

    kind: Literal["Verified"] = "Verified"
    id: str
    """The decision that waits for it."""
    entry: int
    """The number of the entry."""
    score: Annotated[float, Field(ge=0, le=1)] | None
    """1: surely the same; None: the verifier could not tell, which counts as no."""
    verifier: str
    """Identity of the model."""


class EntriesInvalidated(Selection, Message):
    """Entries that match all that is given are withdrawn: those admitted before this record, and before `before_ms`."""

    kind: Literal["EntriesInvalidated"] = "EntriesInvalidated"
    version: int
    older_than_ms: Millis | None = None
    """Entries that are older than this at the record's time."""


class HitJudged(Message):
    """Somebody said whether a decision was right. What the decision served is copied from it."""

    kind: Literal["HitJudged"] = "HitJudged"
    version: int
    decision_id: str
    correct: bool
    """Whether the answer was right."""
    who: str
    why: str = ""
    partition: int | None = None
    """The shard that decided."""
    category: str | None = None
    namespace: str | None = None
    entry_id: str | None = None
    """The entry that was served; None when the answer came from a model."""
    answer: str | None = None
    """Digest of the answer that was served from it."""
    forward_id: str | None = None
    """The forward whose answer was given, when it came from a model."""
    load: float = 0.0
    """The load under which it was decided."""


class CacheSwitched(Message):
    """The cache was switched off or on, for one category or for all."""

    kind: Literal["CacheSwitched"] = "CacheSwitched"
    version: int
    on: bool
    """Whether the cache is on from here."""
    category: str | None = None
    """The category that was switched; null: all."""


class RecoveryOrdered(Message):
    """An operator orders how a stopped shard goes on. Only a shard that is stopped at `position` obeys."""

    kind: Literal["RecoveryOrdered"] = "RecoveryOrdered"
    version: int
    how: RecoveryWay
    """How it goes on."""
    position: int
    """The journal offset at which the shard is stopped."""


class EntryImported(QuestionKey, Message):
    """An answer that another cache has kept is to be kept here, unless the same text is kept already."""

    kind: Literal["EntryImported"] = "EntryImported"
    version: int
    answer: Sealed
    """The projection of the answer, as JSON, as `documents` holds it."""
    admitted_at_ms: Millis | None = None
    """When it was admitted there; None: its lifetime begins with this record."""
    latency_ms: Millis = 0
    """How long the model took there."""
    tokens: Annotated[int, Field(ge=0)] = 0
    """What the model counted for question and answer: the tokens that each hit saves."""
    origin: str = ""
    """Its id there."""


class Tick(Message):
    """Time passed and nothing else came: timers due by the record's timestamp fire."""

    kind: Literal["Tick"] = "Tick"


Event = (
    Asked
    | Passed
    | Answered
    | AnswerFailed
    | AnswerWithheld
    | Verified
    | PolicySet
    | LoadChanged
    | EntriesInvalidated
    | HitJudged
    | CacheSwitched
    | RecoveryOrdered
    | EntryImported
    | Tick
)
AnyEvent = Annotated[Event, Field(discriminator="kind")]
EVENTS: TypeAdapter[Event] = TypeAdapter(AnyEvent)


def decode_event(data: bytes) -> Event:
    """Read a journal record by its `kind`. Raises pydantic.ValidationError."""
    return EVENTS.validate_json(data)
