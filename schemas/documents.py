"""`documents`: the compacted changelog of every shard's store. The key is `COLUMN/ID`; None deletes.

Columns: `entries` (answers kept), `stats` (their use), `flights` (questions on their way to a model),
`waiting` (requests that wait for one), `tables` (how a namespace is searched), `policies`, `loads`, `meta`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.base import Message, Millis, Reply, Sealed, Source
from schemas.policy import Policy
from schemas.responses import Outcome


class Entry(Message):
    """An answer that is kept, with the question it answers. Immutable; `id` is the offset that admitted it."""

    id: int
    tenant: str
    space: str
    category: str
    model: str
    embedder: str
    context: str
    fields: dict[str, str] = Field(default_factory=dict)
    text_digest: str
    vector: str | None
    question: Sealed
    answer: Sealed
    """The projection of the answer that is served, as JSON."""
    tags: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    admitted_at_ms: Millis
    latency_ms: Millis = 0
    """What the model took: the time that each hit saves."""


class EntryStats(Message):
    """How an entry is used."""

    hits: int
    last_offset: int
    """The journal offset of the last use."""


class Flight(Message):
    """A question on its way to a model. Kept until it is answered or `expires_at_ms`."""

    forward_id: str
    tenant: str
    space: str
    category: str
    model: str
    embedder: str
    context: str
    fields: dict[str, str] = Field(default_factory=dict)
    text_digest: str
    vector: str | None
    question: Sealed
    tags: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    offset: int
    deadline_at_ms: Millis
    expires_at_ms: Millis
    admit: bool = True
    joinable: bool = True


class Waiting(Message):
    """A request that waits for a flight."""

    id: str
    forward_id: str
    request_id: str | None = None
    tenant: str
    category: str
    outcome: Outcome
    decision: str
    """The DecisionSummary to answer with, as JSON."""
    reply: Reply
    deadline_at_ms: Millis
    offset: int


class TableMode(Message):
    """How a namespace is searched: `ann` from the moment it grew past the switch."""

    search: Literal["exact", "ann"]


class ShardPolicy(Message):
    """The policy that the shard folds under."""

    version: int
    policy: Policy


class ShardLoad(Message):
    """The load of one model."""

    version: int
    load: float
    valid_until_ms: Millis


class Meta(Message):
    """How far the shard has folded; the truth about where to go on."""

    partition: int
    incarnation: str
    """The journal's topic id: state of another journal is not this one's."""
    shards: int
    """The journal's partitions: with another count keys belong to other shards."""
    next_offset: int
    """The journal offset to fold next."""
    time_ms: Millis
    behaviour: str
    highwater: dict[str, int] = Field(default_factory=dict)
    """The highest offset folded of each partition of requests (`TOPIC_ID/PARTITION`) and of `control`."""
