"""Decides a question: hit, coalesced with a flight, forwarded (miss), passed through, or refused."""

from __future__ import annotations

from refrain.schemas.decisions import Reason
from refrain.schemas.journal import Asked
from refrain.schemas.policy import Cacheable
from refrain.schemas.policy_limits import TenantLimits
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.errors import ChangeTooLarge, RefusalCode
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.columns import TENANTS
from refrain.streams.shard.dependence import not_kept_reason, shortened
from refrain.streams.shard.handlers.asking import Asking
from refrain.streams.shard.handlers.forwarding import flight_of
from refrain.streams.shard.handlers.outcomes import (
    coalesce,
    deadline_of,
    pass_through,
    raise_doubt,
    refuse,
    serve,
    serve_stale,
    wait,
)
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.search.question import ShardQuestion, VerificationState
from refrain.streams.shard.search.search import SearchResult, coalesce_with, look_up
from refrain.streams.shard.state import Shard

NOT_VERIFIED = VerificationState()


def on_asked(
    shard: Shard, asked: Asked, record: Record, out: FoldResult, verification: VerificationState = NOT_VERIFIED
) -> None:
    """Decide one question, which may have waited for verifications.

    All that may fail comes before the first change.
    """
    context = Asking(shard, asked, record, out)
    if shard.policy is None:
        return pass_through(context, Reason.NO_POLICY)
    policy = shard.policy.policy
    category = policy.of(asked.category)
    if category is None:
        return pass_through(context, Reason.CATEGORY_UNKNOWN)
    if Cacheable.NEVER in (category.cache, asked.seen.cache):
        return pass_through(context, Reason.CATEGORY_NEVER)
    if shard.is_off(asked.category):
        return pass_through(context, Reason.SWITCHED_OFF)
    reason = not_kept_reason(category, asked.depends)
    if reason is not None:
        return pass_through(context, reason)
    deadline_at_ms = deadline_of(shard, asked, policy)
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
        return refuse(
            context, question, SearchResult(Reason.DEADLINE_PASSED), RefusalCode.DEADLINE, "the deadline is over"
        )
    return _within_limits(context, question, deadline_at_ms)


def pass_straight(shard: Shard, asked: Asked, record: Record, out: FoldResult, reason: Reason) -> None:
    """Pass a question straight to the model, whatever the shard holds."""
    pass_through(Asking(shard, asked, record, out), reason)


def _within_limits(context: Asking, question: ShardQuestion, deadline_at_ms: int) -> None:
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
        return pass_through(context, Reason.TENANT_LIMIT)
    return serve(context, question, verdict)


def _observes(context: Asking, question: ShardQuestion) -> bool:
    asked = context.asked
    return CacheMode.OBSERVE is asked.mode or Cacheable.OBSERVE in (question.policy.cache, asked.seen.cache)


def _decide(context: Asking, question: ShardQuestion, deadline_at_ms: int, tenant_limits: TenantLimits | None) -> None:
    """Decide a question; one of which more would have to be remembered than `documents` takes is passed through."""
    mark = len(context.out.effects)
    try:
        _decide_remembering(context, question, deadline_at_ms, tenant_limits)
    except ChangeTooLarge:
        del context.out.effects[mark:]
        pass_through(context, Reason.TOO_LARGE)


def _decide_remembering(
    context: Asking, question: ShardQuestion, deadline_at_ms: int, tenant_limits: TenantLimits | None
) -> None:
    shard, asked = context.shard, context.asked
    observing = _observes(context, question)
    refreshing = asked.mode is CacheMode.REFRESH
    verdict = SearchResult(Reason.REFRESH_ASKED) if refreshing else look_up(shard, question)
    full = _full(shard, asked, question, tenant_limits)
    if verdict.doubt is not None and full is not None:
        return pass_through(context, full)
    if verdict.doubt is not None:
        return raise_doubt(context, question, verdict.doubt, deadline_at_ms)
    if verdict.stale and (asked.mode is CacheMode.ONLY or asked.overload):
        # Serving it would call a model for a new answer, which without its vector would not be worth keeping.
        verdict = verdict._replace(reason=Reason.EXPIRED, serve=None, stale=False)
    if verdict.serve is not None and not observing:
        return serve_stale(context, question, verdict) if verdict.stale else serve(context, question, verdict)
    if verdict.serve is not None:
        verdict = verdict._replace(reason=Reason.OBSERVED, stale=False)
    if asked.mode is CacheMode.ONLY:
        if asked.overload:
            return pass_through(context, Reason.OVERLOAD)
        return refuse(
            context,
            question,
            verdict._replace(reason=Reason.NOT_CACHED),
            RefusalCode.NOT_CACHED,
            "nothing is cached for this question, and the request wants no model to be called",
        )
    if full is not None:
        return pass_through(context, full)
    join = None if observing or refreshing else coalesce_with(shard, question, deadline_at_ms)
    if join is not None:
        return coalesce(context, question, verdict, join, deadline_at_ms)
    if asked.overload:
        # Kept without its vector, the answer would serve no question in other words.
        return pass_through(context, Reason.OVERLOAD)
    flight = flight_of(shard, asked, question.space, context.record, deadline_at_ms, question.limits)
    return wait(context, question, verdict, Outcome.MISS, flight.forward_id, deadline_at_ms, flight)


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
