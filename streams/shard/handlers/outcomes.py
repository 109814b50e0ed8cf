"""Outcomes of a question, as a shard brings them about: what is written, sent and noted as the decision."""

from __future__ import annotations

import json
from collections.abc import Sequence

from refrain.schemas.base import Sealed
from refrain.schemas.decisions import Reason
from refrain.schemas.documents import Doubt, EntryStats, Flight, Waiting
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.journal import Asked
from refrain.schemas.policy import Policy
from refrain.schemas.policy_limits import Limits
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome, Response
from refrain.streams.errors import RefusalCode
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging import progress
from refrain.streams.messaging.forwards import deadline_at_ms as longest_wait
from refrain.streams.messaging.responses import NOT_IN_TIME, error_for, respond, served
from refrain.streams.messaging.routes import DirectRoute, encode_route
from refrain.streams.shard.columns import DOUBTS, FLIGHTS, STATS, WAITING, Change, digest_of, entry_id
from refrain.streams.shard.handlers.asking import Asking, decision_on, told_of
from refrain.streams.shard.handlers.forwarding import flight_of, forward_by, forward_of
from refrain.streams.shard.index.entries import IndexedEntry
from refrain.streams.shard.outcome import decided, summary
from refrain.streams.shard.search.question import ShardQuestion
from refrain.streams.shard.search.search import Join, SearchResult, coalesce_with
from refrain.streams.shard.state import Shard

NOT_KEPT = "answers to this question are not kept, and the request wants no model to be called"
"""The message to a request that wants no model to be called, and that passes by the cache."""


def coalesce(context: Asking, question: ShardQuestion, verdict: SearchResult, join: Join, deadline_at_ms: int) -> None:
    """Make the request wait for the answer to another one, whose question is near enough."""
    joined = verdict._replace(
        reason=Reason.IN_FLIGHT,
        similarity=join.similarity,
        score=join.score,
        head_weight=join.head_weight,
        guards=verdict.guards + join.guards,
    )
    forward_id = join.open_flight.flight.forward_id
    in_other_words = join.open_flight.text != question.text
    wait(context, question, joined, Outcome.COALESCED, forward_id, deadline_at_ms, in_other_words=in_other_words)


def raise_doubt(context: Asking, question: ShardQuestion, indexed: IndexedEntry, deadline_at_ms: int) -> None:
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


def serve_stale(context: Asking, question: ShardQuestion, verdict: SearchResult) -> None:
    """Serve stale while revalidating: the expired answer once, and a forward for a new one unless one is in flight."""
    deadline_at_ms = context.shard.time_ms + question.limits.answer_timeout_ms
    join = coalesce_with(context.shard, question, deadline_at_ms)
    if join is not None:
        return serve(context, question, verdict, join.open_flight.flight.forward_id)
    shard, asked, record = context.shard, context.asked, context.record
    flight = flight_of(shard, asked, question.space, record, deadline_at_ms, question.limits)
    serve(context, question, verdict, flight.forward_id, [FLIGHTS.put(flight.forward_id, flight)])
    context.out.effects.append(forward_of(shard, asked, flight, None))
    return None


def serve(
    context: Asking,
    question: ShardQuestion,
    verdict: SearchResult,
    forward_id: str | None = None,
    changes: Sequence[Change] = (),
) -> None:
    """Serve the entry of a verdict. Raises ValueError for a verdict without one.

    `forward_id` is that of the flight that brings a new answer, if the entry is stale.
    """
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
    decision = decision_on(context, question, verdict, Outcome.HIT, forward_id, kept)
    response = Response.trusted(
        request_id=asked.request_id,
        tenant=asked.tenant,
        outcome=Outcome.HIT,
        body=body,
        decision=told_of(question, verdict, decision),
    )
    out.effects.append(respond(asked.reply, response))
    out.decisions.append(decision)


def wait(
    context: Asking,
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
    decision = decision_on(context, question, verdict, outcome, forward_id, kept)
    told = told_of(question, verdict, decision)
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
    out.decisions.append(decision.model_copy(update={"changes": digest_of(shard.overlay.recent)}))


def refuse(context: Asking, question: ShardQuestion, verdict: SearchResult, code: RefusalCode, message: str) -> None:
    """Answer with an error; nothing is forwarded."""
    asked = context.asked
    context.shard.apply(context.first)
    decision = decision_on(context, question, verdict, Outcome.ERROR, None)
    response = error_for(asked, code, message, told_of(question, verdict, decision))
    context.out.effects.append(respond(asked.reply, response))
    context.out.decisions.append(decision)


def pass_through(context: Asking, reason: Reason) -> None:
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
        message = NOT_IN_TIME if reason is Reason.OVERLOAD else NOT_KEPT
        response = error_for(asked, RefusalCode.NOT_CACHED, message, summary(decision, depends=asked.depends))
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
    deadline = deadline_of(shard, asked, limit)
    out.effects.append(forward_by(asked, encode_route(route), deadline))
    out.decisions.append(decision)


def deadline_of(shard: Shard, asked: Asked, policy: Policy | None) -> int:
    return longest_wait(shard.time_ms, asked.deadline_at_ms, Limits() if policy is None else policy.limits)
