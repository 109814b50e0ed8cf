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

DIFFERS_MAX = 8
"""Parts of a context named in a decision."""


class Question(NamedTuple):
    """A question as the shard sees it."""

    asked: Asked
    policy: CategoryPolicy
    limits: Limits
    effective: Effective
    namespace: bytes
    text: bytes
    query: Query | None
    space: str
    """Whose entries may serve."""

    @classmethod
    def of(cls, asked: Asked, policy: CategoryPolicy, limits: Limits, now: Effective) -> Question:
        """Raises ValueError for a vector that is none."""
        space = "*" if policy.scope == "shared" and asked.space == "*" else asked.tenant
        return cls(
            asked,
            policy,
            limits,
            now,
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


def look_up(shard: Shard, question: Question) -> Verdict:
    """The same text first, then the nearest by meaning that is above the threshold and young enough."""
    same = shard.entries.exact(question.namespace, question.text)
    expired = False
    if same is not None:
        if _age(shard, same) <= question.effective.ttl_ms:
            candidate = Candidate(
                entry_id=wire_id(shard, same.id), similarity=1.0, age_ms=_age(shard, same), verdict="served"
            )
            return Verdict(Reason.EXACT_TEXT, "exact", same, 1.0, (candidate,))
        expired = True
    if question.query is None:
        reason = Reason.EXPIRED if expired else Reason.EXACT_ONLY
        return Verdict(reason, "exact", None, None, (), _differs(shard, question))
    return _by_meaning(shard, question, question.query)


def _by_meaning(shard: Shard, question: Question, query: Query) -> Verdict:
    limits, now = question.limits, question.effective
    floor = min(now.threshold, question.policy.threshold_floor or now.threshold)
    search, found = shard.entries.nearest(question.namespace, query, limits.candidates, floor, limits.ef)
    served: Seen | None = None
    expired = False
    candidates = []
    for each, seen in found:
        age = _age(shard, seen)
        if each.similarity < now.threshold:
            verdict = "below_threshold"
        elif age > now.ttl_ms:
            verdict, expired = "expired", True
        elif served is None:
            verdict, served, similarity = "served", seen, each.similarity
        else:
            verdict = "not_needed"
        candidates.append(
            Candidate(entry_id=wire_id(shard, seen.id), similarity=each.similarity, age_ms=age, verdict=verdict)
        )
    listed = tuple(candidates)
    if served is not None:
        return Verdict(Reason.SIMILAR_TEXT, search or "none", served, similarity, listed)
    best = found[0][0].similarity if found else None
    if expired:
        return Verdict(Reason.EXPIRED, search or "none", None, best, listed)
    differs = _differs(shard, question)
    if differs:
        return Verdict(Reason.CONTEXT_DIFFERS, search or "none", None, best, listed, differs)
    empty = not shard.entries.holds_any(question.namespace)
    return Verdict(Reason.NAMESPACE_EMPTY if empty else Reason.BELOW_THRESHOLD, search or "none", None, best, listed)


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
        if airborne.flight.joinable and 2 * left >= deadline_at_ms - shard.time_ms:
            return similarity, airborne
    return None


def wire_id(shard: Shard, number: int) -> str:
    """An entry's id outside its shard: partition, the offset that admitted it, and the journal's incarnation."""
    return f"{shard.partition}-{number}-{shard.incarnation[:8]}"


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
