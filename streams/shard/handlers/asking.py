"""A question that is decided, and the record of its decision, which every outcome of it has."""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.decisions import Decision
from refrain.schemas.journal import Asked
from refrain.schemas.responses import DecisionSummary, Outcome
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.columns import Change, digest_of
from refrain.streams.shard.outcome import FoldResult, decided, summary
from refrain.streams.shard.search.question import ShardQuestion
from refrain.streams.shard.search.search import SearchResult
from refrain.streams.shard.state import Shard
from refrain.streams.shard.stored_answers import StoredAnswer


class Asking(NamedTuple):
    """A question that is decided: what every outcome is made of."""

    shard: Shard
    asked: Asked
    record: Record
    out: FoldResult
    first: tuple[Change, ...] = ()
    """What is to be written whatever is decided."""


def told_of(question: ShardQuestion, verdict: SearchResult, decision: Decision) -> DecisionSummary:
    """What the requester is told of the decision."""
    return summary(
        decision,
        guards=verdict.guards,
        depends=question.asked.depends,
        show_similarity=question.policy.show_similarity,
    )


def decision_on(
    context: Asking,
    question: ShardQuestion,
    verdict: SearchResult,
    outcome: Outcome,
    forward_id: str | None,
    kept: StoredAnswer | None = None,
) -> Decision:
    """The decision's record; `kept` is the stored answer of the entry that is served, or would be."""
    shard, asked, record = context.shard, context.asked, context.record
    indexed, now, hit = verdict.serve, question.effective, outcome is Outcome.HIT
    strict = question.policy.verify is not None and verdict.by_meaning
    opinion = shard.opinion(indexed.id, asked.text_digest) if indexed is not None and strict else None
    return decided(
        shard,
        record,
        asked,
        outcome=outcome,
        reason=verdict.reason,
        policy_version=None if shard.policy is None else shard.policy.version,
        classifier=asked.classifier,
        namespace=question.namespace.hex(),
        search=verdict.search,
        similarity=verdict.similarity,
        score=verdict.score,
        threshold=now.threshold,
        ttl_ms=now.ttl_ms,
        base_threshold=question.base.threshold,
        base_ttl_ms=question.base.ttl_ms,
        load=now.load,
        entry_id=None if indexed is None else shard.wire_id(indexed.id),
        entry_age_ms=None if indexed is None else max(0, shard.time_ms - indexed.admitted_at_ms),
        answer=None if kept is None else kept.digest,
        load_only=hit and verdict.load_only,
        stale=hit and verdict.stale,
        saved_ms=kept.latency_ms if hit and kept is not None else 0,
        # A model is called for a new answer: nothing but the requester's time is saved.
        saved_tokens=kept.tokens if hit and kept is not None and not verdict.stale else 0,
        forward_id=forward_id,
        candidates=verdict.candidates,
        guards=tuple([each.counted() for each in verdict.guards]),
        hit_head=None if question.head is None else question.head.version,
        head_weight=verdict.head_weight,
        verifier=None if opinion is None else opinion.verifier,
        verifier_score=None if opinion is None else opinion.score,
        differs=verdict.differs,
        changes=digest_of(shard.overlay.recent),
    )
