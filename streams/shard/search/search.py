"""Cache lookup: finds the entry or the flight that answers a question. Reads the shard, changes nothing."""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.decisions import Candidate, Reason
from refrain.streams.shard.guard_words import GuardFinding
from refrain.streams.shard.in_flight import OpenFlight
from refrain.streams.shard.index.entries import IndexedEntry
from refrain.streams.shard.index.vector_tables import QueryVector
from refrain.streams.shard.removal import is_invalidated
from refrain.streams.shard.search import candidates
from refrain.streams.shard.search.candidates import Assessed, Candidates
from refrain.streams.shard.search.question import ShardQuestion
from refrain.streams.shard.search.scoring import HEAD, CachedText, score
from refrain.streams.shard.state import Shard

DIFFERS_MAX = 8
"""Parts of a context named in a decision."""
OTHER = "other"
"""Parts of a context that are not named."""

_REASONS = {
    candidates.EXPIRED: Reason.EXPIRED,
    candidates.WITHDRAWN: Reason.WITHDRAWN,
    candidates.UNCORROBORATED: Reason.UNCORROBORATED,
    candidates.VERIFIER: Reason.VERIFIER_REFUSED,
    candidates.SILENT: Reason.VERIFIER_SILENT,
    candidates.AMBIGUOUS: Reason.AMBIGUOUS,
    HEAD: Reason.HEAD_REFUSED,
}


class SearchResult(NamedTuple):
    """Search result: an entry to serve (`serve`), or why there is none (`reason`)."""

    reason: Reason
    search: str = "none"
    serve: IndexedEntry | None = None
    similarity: float | None = None
    score: float | None = None
    """What the guards' evidence leaves of the similarity of what is served by meaning."""
    head_weight: float | None = None
    """What the trained head takes off it; of a miss, off the similarity of the first candidate that it compared."""
    candidates: tuple[Candidate, ...] = ()
    guards: tuple[GuardFinding, ...] = ()
    differs: tuple[str, ...] = ()
    load_only: bool = False
    """Whether nothing would have been served at load 0."""
    stale: bool = False
    """Whether what is served is beyond its lifetime."""
    doubt: IndexedEntry | None = None
    """The entry that is served if the verifier says so."""
    by_meaning: bool = False
    """Whether what is served was found by vector, so that the verifier counted where the category asks for one."""


def look_up(shard: Shard, question: ShardQuestion) -> SearchResult:
    """Look a question up: the same text first, then the nearest entry above the threshold, fresh and servable."""
    same = shard.entries.exact(question.namespace, question.text)
    if same is not None:
        alone = Candidates(shard, question)
        assessed = alone.assess(same, 1.0, same_text=True)
        if assessed.verdict == candidates.FRESH:
            return _served(alone, Reason.EXACT_TEXT, "exact", assessed)
        if question.query is None:
            stale = alone.stale()
            if stale is not None:
                return _served(alone, Reason.STALE, "exact", stale)
            return _missed(shard, question, alone, "exact")
    if question.query is None:
        return SearchResult(Reason.EXACT_ONLY, "exact", differs=_differs(shard, question))
    return _by_meaning(shard, question, question.query, same)


def _by_meaning(shard: Shard, question: ShardQuestion, query: QueryVector, same: IndexedEntry | None) -> SearchResult:
    limits, now = question.limits, question.effective
    floor = min(now.threshold, question.policy.threshold_floor or now.threshold)
    search, found = shard.entries.nearest(question.namespace, query, limits.candidates, floor, limits.ef)
    how = search or "none"
    all_ = Candidates(shard, question)
    for each, indexed in found:
        all_.assess(indexed, each.similarity, same_text=same is not None and indexed.id == same.id)
    best = all_.best()
    if best is not None:
        return _served(all_, Reason.SIMILAR_TEXT, how, best)
    if all_.doubt is not None:
        doubt = all_.doubt
        return SearchResult(
            Reason.VERIFIER_SILENT, how, similarity=doubt.similarity, candidates=all_.listed(), doubt=doubt.entry
        )
    stale = all_.stale()
    if stale is not None:
        return _served(all_, Reason.STALE, how, stale)
    return _missed(shard, question, all_, how)


def _served(all_: Candidates, reason: Reason, search: str, chosen: Assessed) -> SearchResult:
    stale = reason is Reason.STALE
    load_only = not stale and not all_.at_base(chosen)
    return SearchResult(
        reason,
        search,
        chosen.entry,
        chosen.similarity,
        score=None if chosen.same_text else chosen.score,
        head_weight=None if chosen.scored is None else chosen.scored.head_weight,
        candidates=all_.listed(chosen),
        guards=tuple(all_.guarded),
        load_only=load_only,
        stale=stale,
        by_meaning=not chosen.same_text,
    )


def _missed(shard: Shard, question: ShardQuestion, all_: Candidates, search: str) -> SearchResult:
    best = all_.assessed[0].similarity if all_.assessed else None
    result = SearchResult(
        Reason.BELOW_THRESHOLD,
        search,
        similarity=best,
        head_weight=all_.head_weight(),
        candidates=all_.listed(),
        guards=tuple(all_.guarded),
    )
    refusal = all_.refusal()
    if refusal is not None:
        return result._replace(reason=_REASONS.get(refusal, Reason.GUARD_REFUSED))
    differs = _differs(shard, question)
    if differs:
        return result._replace(reason=Reason.CONTEXT_DIFFERS, differs=differs)
    if not shard.entries.namespaces.holds_any(question.namespace):
        return result._replace(reason=Reason.NAMESPACE_EMPTY)
    return result


class Join(NamedTuple):
    """Flight to coalesce with, and how near it is."""

    open_flight: OpenFlight
    similarity: float
    score: float
    guards: tuple[GuardFinding, ...]
    head_weight: float | None = None


def coalesce_with(shard: Shard, question: ShardQuestion, deadline_at_ms: int) -> Join | None:
    """Coalesce: the open flight that the question may wait for; it passes the checks that a hit passes.

    A flight that ends long before the question's deadline would fail it without need.
    """
    if not question.policy.coalesce:
        return None
    for similarity, open_flight in shard.flights.near(
        question.namespace, question.text, question.query, question.effective.threshold
    ):
        left = open_flight.flight.deadline_at_ms - shard.time_ms
        if 2 * left < deadline_at_ms - shard.time_ms or is_invalidated(shard, open_flight.flight):
            continue
        if open_flight.text == question.text:
            return Join(open_flight, similarity, similarity, ())
        if question.policy.verify is not None or question.policy.corroborate > 1:
            # Nobody gives a second opinion on an answer that is not there yet, and none can agree with it.
            continue
        flight = open_flight.flight
        scored = score(question, CachedText(flight.forward_id, flight.question.data, flight.text_side), similarity)
        if scored.refusal is None:
            return Join(open_flight, similarity, scored.score, scored.guards, scored.head_weight)
    return None


def _differs(shard: Shard, question: ShardQuestion) -> tuple[str, ...]:
    other = shard.entries.same_text(question.text)
    if other is None:
        return ()
    entry, mine = shard.entry(other), question.asked.fields
    theirs = entry.fields
    names = {name for name in theirs.keys() | mine.keys() if theirs.get(name) != mine.get(name)}
    if entry.tenant != question.asked.tenant and not names <= mine.keys():
        # What a stranger calls the parts of its context is its own.
        names = (names & mine.keys()) | {OTHER}
    return tuple(sorted(names)[:DIFFERS_MAX])
