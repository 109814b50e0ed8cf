"""Whether a question is answered from the cache: reads the shard, changes nothing."""

from __future__ import annotations

from typing import NamedTuple

from schemas.decisions import Candidate, Reason
from schemas.journal import Asked
from schemas.policy import CategoryPolicy, Limits
from streams.effective import Effective
from streams.shard.entries import Seen, namespace_of, text_key
from streams.shard.flights import Airborne
from streams.shard.state import Shard, query_of
from streams.shard.tables import Query
from streams.shard.withdrawing import is_grounded, is_withdrawn

DIFFERS_MAX = 8
"""Parts of a context named in a decision."""


class Question(NamedTuple):
    """A question as the shard sees it."""

    asked: Asked
    policy: CategoryPolicy
    limits: Limits
    effective: Effective
    base: Effective
    """What would hold at load 0."""
    namespace: bytes
    text: bytes
    query: Query | None
    space: str
    """Whose entries may serve."""

    @classmethod
    def of(cls, asked: Asked, policy: CategoryPolicy, limits: Limits, now: Effective, base: Effective) -> Question:
        """Raises ValueError for a vector that is none."""
        space = "*" if policy.scope == "shared" and asked.space == "*" else asked.tenant
        return cls(
            asked,
            policy,
            limits,
            now,
            base,
            namespace_of(space, asked.category, asked.embedder, asked.context),
            text_key(space, asked.category, asked.text_digest),
            query_of(asked.vector),
            space,
        )


class Verdict(NamedTuple):
    """What was found: an entry to serve (`serve`), or why there is none (`reason`)."""

    reason: Reason
    search: str = "none"
    serve: Seen | None = None
    similarity: float | None = None
    candidates: tuple[Candidate, ...] = ()
    differs: tuple[str, ...] = ()
    load_only: bool = False
    """Whether nothing would have been served at load 0."""
    stale: bool = False
    """Whether what is served is beyond its lifetime."""


def look_up(shard: Shard, question: Question) -> Verdict:
    """The same text first, then the nearest by meaning that is above the threshold and young enough."""
    same = shard.entries.exact(question.namespace, question.text)
    looked: list[_Looked] = []
    if same is not None:
        looked = [_look(shard, question, same, 1.0)]
        if looked[0].verdict == FRESH:
            return _served(shard, question, Reason.EXACT_TEXT, "exact", looked, looked[0])
    if question.query is None:
        stale = _stale(shard, question, looked)
        if stale is not None:
            return _served(shard, question, Reason.STALE, "exact", looked, stale)
        reason = Reason.EXPIRED if _any_expired(looked) else Reason.EXACT_ONLY
        return Verdict(reason, "exact", None, None, _listed(shard, looked), _differs(shard, question))
    return _by_meaning(shard, question, question.query)


FRESH, EXPIRED, WITHDRAWN, BELOW = "fresh", "expired", "withdrawn", "below_threshold"


class _Looked(NamedTuple):
    """An entry that was considered, and what speaks against it."""

    seen: Seen
    similarity: float
    age_ms: int
    verdict: str


def _look(shard: Shard, question: Question, seen: Seen, similarity: float) -> _Looked:
    age_ms, now = _age(shard, seen), question.effective
    if similarity < now.threshold:
        verdict = BELOW
    elif is_withdrawn(shard, seen, question.namespace):
        verdict = WITHDRAWN
    else:
        verdict = EXPIRED if age_ms > now.ttl_ms else FRESH
    return _Looked(seen, similarity, age_ms, verdict)


def _by_meaning(shard: Shard, question: Question, query: Query) -> Verdict:
    limits, now = question.limits, question.effective
    floor = min(now.threshold, question.policy.threshold_floor or now.threshold)
    search, found = shard.entries.nearest(question.namespace, query, limits.candidates, floor, limits.ef)
    how = search or "none"
    looked = [_look(shard, question, seen, each.similarity) for each, seen in found]
    fresh = next((each for each in looked if each.verdict == FRESH), None)
    if fresh is not None:
        return _served(shard, question, Reason.SIMILAR_TEXT, how, looked, fresh)
    stale = _stale(shard, question, looked)
    if stale is not None:
        return _served(shard, question, Reason.STALE, how, looked, stale)
    best = looked[0].similarity if looked else None
    listed = _listed(shard, looked)
    if _any_expired(looked):
        return Verdict(Reason.EXPIRED, how, None, best, listed)
    if any(each.verdict == WITHDRAWN for each in looked):
        return Verdict(Reason.WITHDRAWN, how, None, best, listed)
    differs = _differs(shard, question)
    if differs:
        return Verdict(Reason.CONTEXT_DIFFERS, how, None, best, listed, differs)
    empty = not shard.entries.holds_any(question.namespace)
    return Verdict(Reason.NAMESPACE_EMPTY if empty else Reason.BELOW_THRESHOLD, how, None, best, listed)


def _stale(shard: Shard, question: Question, looked: list[_Looked]) -> _Looked | None:
    """The best expired entry that may be served once more."""
    ttl_ms = question.effective.ttl_ms + question.policy.stale_while_revalidate_ms
    return next(
        (each for each in looked if each.verdict == EXPIRED and each.age_ms <= ttl_ms and not each.seen.stale_served),
        None,
    )


def _any_expired(looked: list[_Looked]) -> bool:
    return any(each.verdict == EXPIRED for each in looked)


def _served(
    shard: Shard, question: Question, reason: Reason, search: str, looked: list[_Looked], chosen: _Looked
) -> Verdict:
    base = question.base
    at_base = any(
        each.verdict == FRESH and each.similarity >= base.threshold and each.age_ms <= base.ttl_ms for each in looked
    )
    return Verdict(
        reason,
        search,
        chosen.seen,
        chosen.similarity,
        _listed(shard, looked, chosen),
        load_only=not at_base and reason is not Reason.STALE,
        stale=reason is Reason.STALE,
    )


def _listed(shard: Shard, looked: list[_Looked], chosen: _Looked | None = None) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            entry_id=shard.wire_id(each.seen.id),
            similarity=each.similarity,
            age_ms=each.age_ms,
            verdict="served" if each is chosen else "not_needed" if each.verdict == FRESH else each.verdict,
        )
        for each in looked
    )


def joinable(shard: Shard, question: Question, deadline_at_ms: int) -> tuple[float, Airborne] | None:
    """The flight that the question may wait for, with their similarity.

    A flight that ends long before the question's deadline would fail it without need.
    """
    if not question.policy.coalesce:
        return None
    for similarity, airborne in shard.flights.near(
        question.namespace, question.text, question.query, question.effective.threshold
    ):
        left = airborne.flight.deadline_at_ms - shard.time_ms
        lasts = 2 * left >= deadline_at_ms - shard.time_ms
        if airborne.flight.joinable and lasts and not is_grounded(shard, airborne.flight):
            return similarity, airborne
    return None


def _age(shard: Shard, seen: Seen) -> int:
    return max(0, shard.time_ms - seen.admitted_at_ms)


def _differs(shard: Shard, question: Question) -> tuple[str, ...]:
    other = shard.entries.same_text(question.text)
    if other is None:
        return ()
    theirs = shard.entry(other).fields
    mine = question.asked.fields
    names = sorted(name for name in theirs.keys() | mine.keys() if theirs.get(name) != mine.get(name))
    return tuple(names[:DIFFERS_MAX])
