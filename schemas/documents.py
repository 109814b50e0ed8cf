"""`documents`: the compacted changelog of every shard's store. The key is `COLUMN/ID`; None deletes.

Columns: `entries` (stored answers), `stats` (their usage), `flights` (questions in flight to a model), `waiting`
(requests coalesced on a flight), `tables` (search mode of a namespace), `aging` (bases of eviction values),
`withdrawals` (invalidations in progress), `banned` (answers judged wrong), `judged`, `switches`, `doubts` (pending
verifications), `opinions` (verifier scores), `tallies` (outcome counts by category), `skips` (journal records that no
fold decides), `policies`, `loads`, `meta`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from refrain.schemas.base import Message, Millis, QuestionKey, Reply, Sealed, Selection
from refrain.schemas.policy import Policy
from refrain.schemas.responses import Outcome


class Entry(QuestionKey, Message):
    """An answer that is kept, with the question it answers. Immutable; `id` is the offset that admitted it."""

    id: int
    """The journal offset that admitted it."""
    answer: Sealed
    """The projection of the answer that is served, as JSON."""
    admitted_at_ms: Millis
    """When it was admitted, by the shard's time."""
    latency_ms: Millis = 0
    """What the model took: the time that each hit saves."""
    tokens: Annotated[int, Field(ge=0)] = 0
    """What the model counted for question and answer: the tokens that each hit saves."""
    answer_digest: str = ""
    """Digest of `answer`, hex."""
    forward_id: str | None = None
    """The forward that brought the answer."""
    asked_offset: int = 0
    """The journal offset of the question that was forwarded."""
    value: float = 0.0
    """Its value for eviction when it came in."""
    expires_at_ms: Millis | None = None
    """When it leaves, whatever its category's lifetime: for an apology."""


class EntryStats(Message):
    """How an entry is used."""

    hits: int
    """How often it was served."""
    last_offset: int
    """The journal offset of the last use."""
    value: float = 0.0
    """Its value for eviction at the last use."""
    stale_served: bool = False
    """Whether it was served beyond its lifetime: that happens once."""


class Flight(QuestionKey, Message):
    """A question on its way to a model. Kept until it is answered or `expires_at_ms`."""

    forward_id: str
    offset: int
    """The journal offset of the question that was forwarded."""
    deadline_at_ms: Millis
    expires_at_ms: Millis
    """Until when it is kept if no answer comes."""


class Waiting(Message):
    """A request that waits for a flight."""

    id: str
    """The decision that waits."""
    forward_id: str
    request_id: str | None = None
    tenant: str
    category: str
    outcome: Outcome
    """What the request is answered as, when the answer comes."""
    decision: str
    """The DecisionSummary to answer with, as JSON."""
    observed: int | None = None
    """The number of the entry that would have been served, had the cache not merely been observed."""
    observed_answer: str = ""
    """Digest of that entry's answer."""
    reply: Reply
    deadline_at_ms: Millis
    offset: int
    """The journal offset of its question."""
    asked: str | None = None
    """The journal record of its question, as JSON, where it waits for the answer to other words: an answer that is
    not kept is not for it, and the question is forwarded then."""
    again: bool = False
    """Whether it waits for the second time, after that."""


class Doubt(Message):
    """A question that waits for a second opinion on one entry."""

    asked: str
    """The journal record of the question, as JSON."""
    offset: int
    """Where in the journal it stands."""
    entry: int
    due_at_ms: Millis
    """When it is forwarded without one."""
    rounds: int = 1
    """Second opinions asked for so far."""


class Opinion(Message):
    """A second opinion that is remembered; the id is ENTRY.TEXT_DIGEST. It goes with its entry."""

    score: float | None
    """1: surely the same question; null: the verifier could not tell."""
    verifier: str
    """Identity of the model."""


class TableMode(Message):
    """How a namespace is searched: `ann` from the moment it grew past the switch."""

    search: Literal["exact", "ann"]
    """`exact` scans all vectors; `ann` searches an HNSW."""


class ShardPolicy(Message):
    """The policy that the shard folds under."""

    version: int
    policy: Policy


class ShardLoad(Message):
    """The load of one model."""

    version: int
    load: float
    valid_until_ms: Millis
    """When it counts as 0 again unless it is told anew."""


class Aging(Message):
    """How far values have aged: in a room (`TENANT/CATEGORY`) by its cap, in the shard (`*`) by its total."""

    base: float
    """What the value of a new entry starts from."""
    since: int = -1
    """Entries of the room last touched before this journal offset were valued anew there, from a base of 0."""
    priority: float = 1.0
    """The category's priority then."""


class Withdrawal(Selection, Message):
    """Entries of lower number than `offset` that match are withdrawn; kept until the last of them has left."""

    offset: int
    """The journal offset that ordered it: later entries stay."""
    forward_id: str | None = None
    """The forward whose answer is withdrawn with them."""
    looked_at: int = -1
    """The highest entry number that was looked at."""


class Banned(Message):
    """An answer that was judged wrong; the id is NAMESPACE.ANSWER (digests). It is not kept or served again."""

    version: int


class Judged(Message):
    """The last judgements of a category's hits, oldest first: 1 right, 0 wrong."""

    recent: str
    """One digit a judgement, 1 or 0."""


class Switched(Message):
    """A category (`*`: all) that is switched off."""

    version: int


class TenantUse(Message):
    """What a tenant has used of this shard, where the policy limits it."""

    question_due_us: int = 0
    """When a further question is due (us since the epoch)."""
    entry_due_us: int = 0
    """The same of a further new entry."""


class Tally(Message):
    """What came of a category's requests in this shard, since its journal began. Times are in milliseconds."""

    asked: int = 0
    """Requests that were decided."""
    hits: int = 0
    """Served from the cache."""
    coalesced: int = 0
    """Answered by an answer that was on its way."""
    forwarded: int = 0
    """Sent to a model."""
    passed: int = 0
    """Passed straight through."""
    errors: int = 0
    """Without an answer."""
    observed: int = 0
    """Forwarded requests that would have been hits."""
    load_only: int = 0
    """Hits that only load allowed."""
    stale: int = 0
    """Hits beyond their lifetime."""
    admitted: int = 0
    """Answers that were kept."""
    left: dict[str, int] = Field(default_factory=dict)
    """Entries that left, by reason."""
    saved_ms: int = 0
    """Time of models that hits saved."""
    saved_tokens: int = 0
    """Tokens of models that hits saved."""


class Skip(Message):
    """Journal records that no fold decides; the id is FIRST_OFFSET.WHAT. Written before any is folded."""

    to_offset: int
    """The offset behind the last of them."""
    what: Literal["questions", "records"]
    """`questions`: those among them went straight to the model, while the shard was stopped, or were decided before it
    began anew. `records`: whatever they are, they were set aside."""
    why: str
    """A reason of `stopped` in `stats`, `quarantined`, or `empty` for what was asked before a shard began anew."""
    tells: bool = False
    """Of one record: its worker has read it without harm, so that every fold may, and tells whoever waits for it."""
    highwater: dict[str, int] = Field(default_factory=dict)
    """Of questions: the highest offset passed of each partition of requests, as in `meta`."""


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
    """Version of fold and guards."""
    highwater: dict[str, int] = Field(default_factory=dict)
    """The highest offset folded of each partition of requests (`TOPIC_ID/PARTITION`) and of `control`."""
