"""Decides a question: hit, coalesced with a flight, forwarded (miss), passed through, or refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from refrain.schemas.base import Sealed
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.documents import Doubt, EntryStats, Flight, Waiting
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.journal import Asked
from refrain.schemas.policy import Cacheable, Limits, Policy, TenantLimits
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.streams.errors import ChangeTooLarge, RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging import progress
from refrain.streams.messaging.forwards import deadline_at_ms as longest_wait
from refrain.streams.messaging.responses import NOT_IN_TIME, error_response, respond, served
from refrain.streams.messaging.routes import DirectRoute, encode_route
from refrain.streams.shard.columns import DOUBTS, FLIGHTS, STATS, TENANTS, WAITING, Change, digest_of, entry_id
from refrain.streams.shard.dependence import not_kept_reason, shortened
from refrain.streams.shard.handlers.forwarding import flight_of, forward_by, forward_of
from refrain.streams.shard.index.entries import IndexedEntry
from refrain.streams.shard.outcome import FoldResult, decided, summary
from refrain.streams.shard.search.question import ShardQuestion, VerificationState
from refrain.streams.shard.search.search import Join, SearchResult, coalesce_with, look_up
from refrain.streams.shard.state import Shard, StoredAnswer


class _Context(NamedTuple):
    """Arguments that every branch of the decision needs."""

    shard: Shard
    asked: Asked
    record: Record
    out: FoldResult
    first: tuple[Change, ...] = ()
    """What is to be written whatever is decided."""


NOT_VERIFIED = VerificationState()


def on_asked(
    shard: Shard, asked: Asked, record: Record, out: FoldResult, verification: VerificationState = NOT_VERIFIED
) -> None:
    """Decide one question, which may have waited for verifications.

    All that may fail comes before the first change.
    """
    context = _Context(shard, asked, record, out)
    if shard.policy is None:
        return _pass_through(context, Reason.NO_POLICY)
    policy = shard.policy.policy
    category = policy.of(asked.category)
    if category is None:
        return _pass_through(context, Reason.CATEGORY_UNKNOWN)
    if Cacheable.NEVER in (category.cache, asked.seen.cache):
        return _pass_through(context, Reason.CATEGORY_NEVER)
    if shard.is_off(asked.category):
        return _pass_through(context, Reason.SWITCHED_OFF)
    reason = not_kept_reason(category, asked.depends)
    if reason is not None:
        return _pass_through(context, reason)
    deadline_at_ms = _deadline(shard, asked, policy)
    seen = None if asked.seen.policy_version == shard.policy.version else asked.seen
    judged = shard.judged.get(asked.category, "")
    in_force = shortened(
        shard.terms.of(asked.category, category, judged, shard.load_of(asked.model), seen), asked.depends
    )
    head = shard.head_of(category)
    question = ShardQuestion.of(asked, in_force, policy.limits, verification, head)
    if question.effective.threshold > 1.0:
        raise ValueError(f"a threshold of {question.effective.threshold} is no similarity")
    shard.check_dimensions(question.namespace, question.query)
    if deadline_at_ms <= shard.time_ms:
        return _refuse(
            context, question, SearchResult(Reason.DEADLINE_PASSED), RefusalCode.DEADLINE, "the deadline is over"
        )
    return _within_limits(context, question, deadline_at_ms)


def pass_straight(shard: Shard, asked: Asked, record: Record, out: FoldResult, reason: Reason) -> None:
    """Pass a question straight to the model, whatever the shard holds."""
    _pass_through(_Context(shard, asked, record, out), reason)


def _within_limits(context: _Context, question: ShardQuestion, deadline_at_ms: int) -> None:
    """Decide a question as far as its tenant may ask it."""
    shard, asked = context.shard, context.asked
    limits = None if shard.policy is None else shard.policy.policy.limits_of(asked.tenant)
    if limits is None or question.verification.rounds:
        return _decide(context, question, deadline_at_ms, limits)
    use = shard.tenants.after_question(asked.tenant, limits, shard.time_ms)
    if use is not None:
        counted = () if limits.requests_per_s is None else (TENANTS.put(asked.tenant, use),)
        return _decide(context._replace(first=counted), question, deadline_at_ms, limits)
    # What is kept for the same text costs next to nothing; a search by meaning is what others wait for.
    verdict = look_up(shard, question._replace(query=None))
    if verdict.serve is None or verdict.stale or asked.mode is CacheMode.REFRESH or _observes(context, question):
        return _pass_through(context, Reason.TENANT_LIMIT)
    return _serve(context, question, verdict)


def _observes(context: _Context, question: ShardQuestion) -> bool:
    asked = context.asked
    return CacheMode.OBSERVE is asked.mode or Cacheable.OBSERVE in (question.policy.cache, asked.seen.cache)


def _decide(
    context: _Context, question: ShardQuestion, deadline_at_ms: int, tenant_limits: TenantLimits | None
) -> None:
    """Decide a question; one of which more would have to be remembered than `documents` takes is passed through."""
    mark = len(context.out.effects)
    try:
        _decide_remembering(context, question, deadline_at_ms, tenant_limits)
    except ChangeTooLarge:
        del context.out.effects[mark:]
        _pass_through(context, Reason.TOO_LARGE)


def _decide_remembering(
    context: _Context, question: ShardQuestion, deadline_at_ms: int, tenant_limits: TenantLimits | None
) -> None:
    shard, asked = context.shard, context.asked
    observing = _observes(context, question)
    refreshing = asked.mode is CacheMode.REFRESH
    verdict = SearchResult(Reason.REFRESH_ASKED) if refreshing else look_up(shard, question)
    full = _full(shard, asked, question, tenant_limits)
    if verdict.doubt is not None and full is not None:
        return _pass_through(context, full)
    if verdict.doubt is not None:
        return _raise_doubt(context, question, verdict.doubt, deadline_at_ms)
    if verdict.stale and (asked.mode is CacheMode.ONLY or asked.overload):
        # Serving it would call a model for a new answer, which without its vector would not be worth keeping.
        verdict = verdict._replace(reason=Reason.EXPIRED, serve=None, stale=False)
    if verdict.serve is not None and not observing:
        return _serve_stale(context, question, verdict) if verdict.stale else _serve(context, question, verdict)
    if verdict.serve is not None:
        verdict = verdict._replace(reason=Reason.OBSERVED, stale=False)
    if asked.mode is CacheMode.ONLY:
        if asked.overload:
            return _pass_through(context, Reason.OVERLOAD)
        return _refuse(
            context,
            question,
            verdict._replace(reason=Reason.NOT_CACHED),
            RefusalCode.NOT_CACHED,
            "nothing is cached for this question, and the request wants no model to be called",
        )
    if full is not None:
        return _pass_through(context, full)
    join = None if observing or refreshing else coalesce_with(shard, question, deadline_at_ms)
    if join is not None:
        return _coalesce(context, question, verdict, join, deadline_at_ms)
    if asked.overload:
        # Kept without its vector, the answer would serve no question in other words.
        return _pass_through(context, Reason.OVERLOAD)
    flight = flight_of(shard, asked, question.space, context.record, deadline_at_ms, question.limits)
    return _wait(context, question, verdict, Outcome.MISS, flight.forward_id, deadline_at_ms, flight)


def _full(shard: Shard, asked: Asked, question: ShardQuestion, tenant: TenantLimits | None) -> Reason | None:
    """Why no more requests may wait: too many of the tenant do, or of all; None when this one may."""
    limits, flights = question.limits, shard.flights
    number, size = flights.waiting_of(asked.tenant)
    if tenant is not None and tenant.waiting is not None and number >= tenant.waiting:
        return Reason.TENANT_LIMIT
    if tenant is not None and tenant.waiting_bytes is not None and size >= tenant.waiting_bytes:
        return Reason.TENANT_LIMIT
    waiting = flights.waiting + len(shard.pending_verifications)
    if waiting >= limits.waiting_max or flights.waiting_bytes >= limits.waiting_bytes_max:
        return Reason.WAITING_FULL
    return None


def _coalesce(
    context: _Context, question: ShardQuestion, verdict: SearchResult, join: Join, deadline_at_ms: int
) -> None:
    joined = verdict._replace(
        reason=Reason.IN_FLIGHT,
        similarity=join.similarity,
        score=join.score,
        head_weight=join.head_weight,
        guards=verdict.guards + join.guards,
    )
    forward_id = join.open_flight.flight.forward_id
    in_other_words = join.open_flight.text != question.text
    _wait(context, question, joined, Outcome.COALESCED, forward_id, deadline_at_ms, in_other_words=in_other_words)


def _raise_doubt(context: _Context, question: ShardQuestion, indexed: IndexedEntry, deadline_at_ms: int) -> None:
    """Request a verification; the question is decided when its score comes, or without it after a timeout."""
    shard, asked, record, out, first = context
    wait_ms = question.limits.verify_timeout_ms
    # Half of what is left is the model's, if no opinion comes.
    due_at_ms = shard.time_ms + min(wait_ms, max(1, (deadline_at_ms - shard.time_ms) // 2))
    raised = DoubtRaised(
        id=asked.id,
        partition=shard.partition,
        incarnation=shard.incarnation,
        category=asked.category,
        entry=indexed.id,
        question=asked.question,
        cached=Sealed(data=shard.stored_answer(indexed).question),
        deadline_at_ms=due_at_ms,
    )
    waits = Doubt(
        asked=asked.encode().decode(),
        offset=record.offset,
        entry=indexed.id,
        due_at_ms=due_at_ms,
        rounds=question.verification.rounds + 1,
    )
    shard.apply([*first, DOUBTS.put(asked.id, waits)])
    out.effects.append(Outgoing("doubts", asked.id.encode(), raised.encode()))


def _serve_stale(context: _Context, question: ShardQuestion, verdict: SearchResult) -> None:
    """Serve stale while revalidating: the expired answer once, and a forward for a new one unless one is in flight."""
    deadline_at_ms = context.shard.time_ms + question.limits.answer_timeout_ms
    join = coalesce_with(context.shard, question, deadline_at_ms)
    if join is not None:
        return _serve(context, question, verdict, join.open_flight.flight.forward_id)
    shard, asked, record = context.shard, context.asked, context.record
    flight = flight_of(shard, asked, question.space, record, deadline_at_ms, question.limits)
    _serve(context, question, verdict, flight.forward_id, [FLIGHTS.put(flight.forward_id, flight)])
    context.out.effects.append(forward_of(shard, asked, flight, None))
    return None


def _serve(
    context: _Context,
    question: ShardQuestion,
    verdict: SearchResult,
    forward_id: str | None = None,
    changes: Sequence[Change] = (),
) -> None:
    shard, asked, record, out, first = context
    indexed = verdict.serve
    if indexed is None:
        raise ValueError("a verdict without an entry cannot be served")
    kept = shard.stored_answer(indexed)
    body = served(json.loads(kept.text), asked.id, shard.time_ms)
    used = EntryStats.trusted(
        hits=indexed.hits + 1,
        last_offset=record.offset,
        value=shard.entries.value_if_used(indexed),
        stale_served=verdict.stale or indexed.stale_served,
    )
    shard.apply([*first, *changes, STATS.put(entry_id(indexed.id), used)])
    decision = _decision(context, question, verdict, Outcome.HIT, forward_id, kept)
    response = Response.trusted(
        request_id=asked.request_id,
        tenant=asked.tenant,
        outcome=Outcome.HIT,
        body=body,
        decision=_told(question, verdict, decision),
    )
    out.effects.append(respond(asked.reply, response))
    out.decisions.append(decision)


def _wait(
    context: _Context,
    question: ShardQuestion,
    verdict: SearchResult,
    outcome: Outcome,
    forward_id: str,
    deadline_at_ms: int,
    flight: Flight | None = None,
    *,
    in_other_words: bool = False,
) -> None:
    """Make the request wait for `forward_id`; a new `flight` is forwarded first.

    Who asked `in_other_words` than the flight keeps the question, to be forwarded if the answer cannot be shared.
    """
    shard, asked, record, out, first = context
    kept = None if verdict.serve is None else shard.stored_answer(verdict.serve)
    decision = _decision(context, question, verdict, outcome, forward_id, kept)
    told = _told(question, verdict, decision)
    waiting = Waiting.trusted(
        id=asked.id,
        forward_id=forward_id,
        request_id=asked.request_id,
        tenant=asked.tenant,
        category=asked.category,
        outcome=outcome,
        decision=told.model_dump_json(),
        observed=None if verdict.serve is None else verdict.serve.id,
        observed_answer=decision.answer or "",
        reply=asked.reply,
        deadline_at_ms=deadline_at_ms,
        offset=record.offset,
        asked=asked.encode().decode() if in_other_words else None,
    )
    changes: list[Change] = []
    out.effects += progress.decided(asked.reply, outcome, told)
    if flight is not None:
        out.effects.append(forward_of(shard, asked, flight, told))
        changes.append(FLIGHTS.put(flight.forward_id, flight))
    shard.apply([*first, *changes, WAITING.put(waiting.id, waiting)])
    out.decisions.append(decision.model_copy(update={"changes": digest_of(shard.recent)}))


def _refuse(context: _Context, question: ShardQuestion, verdict: SearchResult, code: RefusalCode, message: str) -> None:
    asked = context.asked
    context.shard.apply(context.first)
    decision = _decision(context, question, verdict, Outcome.ERROR, None)
    response = error_response(
        code,
        message,
        request_id=asked.request_id,
        tenant=asked.tenant,
        decision=_told(question, verdict, decision),
    )
    context.out.effects.append(respond(asked.reply, response))
    context.out.decisions.append(decision)


def _pass_through(context: _Context, reason: Reason) -> None:
    """Bypass: forward the question and store nothing of it; the answer goes straight to the requester."""
    shard, asked, record, out, first = context
    shard.apply(first)
    decision = decided(
        shard,
        record,
        asked,
        outcome=Outcome.BYPASS,
        reason=reason,
        policy_version=None if shard.policy is None else shard.policy.version,
        classifier=asked.classifier,
        forward_id=asked.id,
    )
    if asked.mode is CacheMode.ONLY:
        decision = decision.model_copy(update={"outcome": Outcome.ERROR, "forward_id": None})
        not_kept = "answers to this question are not kept, and the request wants no model to be called"
        response = error_response(
            RefusalCode.NOT_CACHED,
            NOT_IN_TIME if reason is Reason.OVERLOAD else not_kept,
            request_id=asked.request_id,
            tenant=asked.tenant,
            decision=summary(decision, depends=asked.depends),
        )
        out.effects.append(respond(asked.reply, response))
        out.decisions.append(decision)
        return
    told = summary(decision, depends=asked.depends)
    route = DirectRoute(
        forward_id=asked.id,
        request_id=asked.request_id,
        tenant=asked.tenant,
        reply=asked.reply,
        decision=told,
    )
    out.effects += progress.decided(asked.reply, Outcome.BYPASS, told)
    limit = None if shard.policy is None else shard.policy.policy
    deadline = _deadline(shard, asked, limit)
    out.effects.append(forward_by(asked, encode_route(route), deadline))
    out.decisions.append(decision)


def _told(question: ShardQuestion, verdict: SearchResult, decision: Decision) -> DecisionSummary:
    """What the requester is told of the decision."""
    return summary(
        decision,
        guards=verdict.guards,
        depends=question.asked.depends,
        show_similarity=question.policy.show_similarity,
    )


def _deadline(shard: Shard, asked: Asked, policy: Policy | None) -> int:
    return longest_wait(shard.time_ms, asked.deadline_at_ms, Limits() if policy is None else policy.limits)


def _decision(
    context: _Context,
    question: ShardQuestion,
    verdict: SearchResult,
    outcome: Outcome,
    forward_id: str | None,
    kept: StoredAnswer | None = None,
) -> Decision:
    """Decision record; `kept` is the stored answer of the entry that is served, or would be."""
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
        changes=digest_of(shard.recent),
    )
