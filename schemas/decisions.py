"""`decisions`: what was decided for each request and why, with ids and no text. One record a request."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from refrain.schemas.base import AskerNames, Message, Micros, Millis, Part
from refrain.schemas.policy import Guard
from refrain.schemas.responses import Outcome


class Reason(StrEnum):
    """Why a request was answered as it was: a closed list."""

    # hits
    EXACT_TEXT = "exact_text"
    """The same text was answered before."""
    SIMILAR_TEXT = "similar_text"
    """A question at or above the threshold was answered before."""
    # coalesced
    IN_FLIGHT = "in_flight"
    """The same question, exactly or by meaning, is on its way to the model."""
    # misses
    NAMESPACE_EMPTY = "namespace_empty"
    """Nothing is kept yet for this tenant, category and context."""
    CONTEXT_DIFFERS = "context_differs"
    """The same text is kept under another context; `differs` names the parts."""
    BELOW_THRESHOLD = "below_threshold"
    """The most similar question kept is not similar enough."""
    EXPIRED = "expired"
    """The best match has outlived its time."""
    WITHDRAWN = "withdrawn"
    """The best match has been withdrawn."""
    GUARD_REFUSED = "guard_refused"
    """Guards saw differences that similarity cannot see, and a veto or what they weigh decided; or one does not apply
    to the language."""
    HEAD_REFUSED = "head_refused"
    """The category's trained head takes most off the similarity, and too little is left."""
    AMBIGUOUS = "ambiguous"
    """Two candidates with different answers are too close to each other to tell which is meant."""
    UNCORROBORATED = "uncorroborated"
    """The best match's answer came from one question alone, and the category asks for a second that agrees."""
    VERIFIER_REFUSED = "verifier_refused"
    """The second opinion says that another question was asked."""
    VERIFIER_SILENT = "verifier_silent"
    """No second opinion came in time."""
    EXACT_ONLY = "exact_only"
    """The question may only match exactly (last message not the user's, or beyond the embedder's window)."""
    REFRESH_ASKED = "refresh_asked"
    """The client wanted a new answer."""
    STALE = "stale"
    """Served once beyond its lifetime, while a new answer is fetched (a hit)."""
    OBSERVED = "observed"
    """Decided and recorded; the model's answer is served."""
    # passed through
    NO_POLICY = "no_policy"
    """No policy is known yet."""
    CATEGORY_NEVER = "category_never"
    """The category's answers are never kept."""
    VOLATILE = "volatile"
    """The answer depends on now, and the category keeps none that does; `depends` of the response has the words."""
    PERSONAL = "personal"
    """The answer depends on who asks, and is not kept: never in this category, or nothing that it takes names them."""
    CATEGORY_UNKNOWN = "category_unknown"
    """The client named a category that the policy does not define."""
    BYPASS_ASKED = "bypass_asked"
    """The client wanted no cache."""
    SWITCHED_OFF = "switched_off"
    """An operator switched the cache off, for the category or for all."""
    WAITING_FULL = "waiting_full"
    """Too many requests of the shard wait for a model; this one is not remembered."""
    TOO_LARGE = "too_large"
    """What the shard would remember of the question is larger than `documents` takes."""
    TENANT_LIMIT = "tenant_limit"
    """The tenant asks more, or has more waiting, than the policy grants it in this shard; nothing is remembered."""
    OVERLOAD = "overload"
    """Questions come faster than they are embedded, or nothing embeds them: this one waited too long for its vector,
    and is not remembered."""
    READ_AGAIN = "read_again"
    """What was made of it before was perhaps written, for another shard than it would go to by the policy in force:
    an outage lies between. Nothing was looked up, nothing is kept, so that it has one decision."""
    SHARD_STOPPED = "shard_stopped"
    """The shard that was to decide is stopped: see `refrain shards list`. Nothing was looked up, nothing is kept."""
    # errors
    NOT_CACHED = "not_cached"
    """The client wanted an answer from the cache only, and there is none."""
    DEADLINE_PASSED = "deadline_passed"
    """The request's deadline was over before it could be looked up."""
    FOLD_FAILED = "fold_failed"
    """The record could not be folded; it is in dead-letters."""


_VERDICTS = (
    "served", "not_needed", "below_threshold", "expired", "withdrawn", "ambiguous", "uncorroborated", "verifier",
    "head",
)  # fmt: skip
VERDICT_PATTERN = f"^({'|'.join(_VERDICTS)}|guard:({'|'.join(Guard)}))$"
"""For readers in other languages; no reader here is stopped by a verdict that it does not know."""


class Candidate(Part):
    """An entry that was considered."""

    entry_id: str
    similarity: Micros
    score: Micros | None = None
    """What the differences that guards found leave of the similarity; absent where none was asked."""
    letters: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How much the texts overlap: letter trigrams that both have, in thousandths of those that any has."""
    stems: Annotated[int, Field(ge=0, le=1000)] | None = None
    """The same of the stems of their words, but for function words."""
    head_weight: Micros | None = None
    """What the category's trained head takes off the similarity; absent where none compared the texts."""
    age_ms: int
    """How old it was."""
    verdict: Annotated[str, Field(json_schema_extra={"pattern": VERDICT_PATTERN})]
    """`served`, `not_needed`, `below_threshold`, `expired`, `withdrawn`, `ambiguous`, `uncorroborated`,
    `verifier`, `head` or `guard:NAME`."""


class Guarded(Part):
    """What one guard said of a question and the one whose answer would serve it."""

    entry_id: str
    """The entry, or the forward of the question on its way."""
    guard: Guard
    verdict: Literal["passed", "weighed", "refused", "not_applicable"]
    own_words: Annotated[int, Field(ge=0)] = 0
    """How many of the words that decided it are of the question that was asked."""
    other_words: Annotated[int, Field(ge=0)] = 0
    """How many are of the other question alone."""
    weight: Micros = 0.0
    """What a weighed difference takes off the similarity; 0: it does not count in texts worded so differently."""


class CountedDependence(Part):
    """What the answer depends on, as a decision tells it: by how many words, and not by which."""

    rules: str
    """The version of the rules, 8 hex digits."""
    volatile_words: Annotated[int, Field(ge=0)] = 0
    """Words by which the answer depends on now; 0: it does not."""
    personal_words: Annotated[int, Field(ge=0)] = 0
    """Words by which the answer depends on who asks; 0: it does not."""
    named: tuple[AskerNames, ...] = ()
    """What in the request names who asks, and is part of the context."""


class Decision(Message):
    """One decision, in the partition of `decisions` with the number of its shard: there offsets never fall.

    `time_ms` is the shard's time; `journal`, `partition` and `offset` are the journal record that was folded.
    """

    id: str
    """The decision's id, `PARTITION-OFFSET-TAG` by the request's place."""
    journal: str = ""
    """The topic id of the journal; another one after it was recreated."""
    partition: int
    offset: int
    """The journal record that was folded."""
    time_ms: Millis
    request_id: str | None = None
    tenant: str
    category: str | None
    """The category that counted; null when none was told."""
    model: str
    outcome: Outcome
    """How the request was answered."""
    reason: Reason
    """Why so."""
    policy_version: int | None = None
    classifier: str | None = None
    """What chose the category, and in which version."""
    namespace: str | None = None
    """Digest of tenant, category, embedder and context."""
    search: str = "none"
    """`exact`, `ann` or `none`: whether a miss may be an index miss."""
    similarity: Micros | None = None
    """Of the best candidate, rounded to six places."""
    score: Micros | None = None
    """What the guards' evidence leaves of the similarity of what is served or joined by meaning."""
    threshold: Micros | None = None
    ttl_ms: int | None = None
    base_threshold: Micros | None = None
    base_ttl_ms: int | None = None
    load: float = 0.0
    entry_id: str | None = None
    """The entry that was served."""
    entry_age_ms: int | None = None
    """How old it was."""
    answer: str | None = None
    """Digest of the answer of `entry_id`."""
    load_only: bool = False
    """Whether the hit would have been a miss at load 0."""
    stale: bool = False
    """Whether the answer was beyond its lifetime."""
    saved_ms: Millis = 0
    """What the model took for the answer that was served from the cache."""
    saved_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens that the model counted for it."""
    forward_id: str | None = None
    """The forward that this request waits on, when it was not answered at once."""
    candidates: tuple[Candidate, ...] = ()
    """The entries that were considered, the best first."""
    guards: tuple[Guarded, ...] = ()
    """Of each candidate that was guarded, the guards up to the first that refused it."""
    hit_head: str | None = None
    """The version of the trained head that the category has in force."""
    head_weight: Micros | None = None
    """What it takes off the similarity of what is served or joined by meaning; of a miss, of the candidate that it
    compared first."""
    verifier: str | None = None
    """Identity of the model whose second opinion counted, with its `verifier_score`."""
    verifier_score: float | None = None
    """1: surely the same question; null: no second opinion counted."""
    differs: tuple[str, ...] = ()
    """The parts of the context by which the same text, kept under another one, differs."""
    depends: CountedDependence | None = None
    """By how many words the answer depends on now or on who asks; None when it does not."""
    changes: str = ""
    """Digest of the changes of state that the record caused, hex."""
    behaviour: str = ""
    """Version of fold and guards that decided, and of the rules by which `depends` was found."""
