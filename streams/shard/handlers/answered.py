"""Completes a flight: its answer came, failed, or came too late. Answers the waiting and admits the entry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from refrain.schemas.base import Reply, Sealed
from refrain.schemas.documents import Entry, Flight, Waiting
from refrain.schemas.journal import Answered, AnswerFailed, AnswerWithheld
from refrain.schemas.observations import Observation
from refrain.schemas.policy import Cacheable
from refrain.schemas.policy_limits import Limits
from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.schemas.topics import DOCUMENT_BYTES_MAX
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.dead_letters import dead_letter
from refrain.streams.messaging.ids import decision_tag, parse_request_id, parse_topic_partition_key
from refrain.streams.messaging.model_errors import problem_in
from refrain.streams.messaging.privacy import may_store
from refrain.streams.messaging.responses import (
    compact,
    digest_of_answer,
    error_for,
    project,
    respond,
    served,
    tokens_of,
)
from refrain.streams.shard import counts
from refrain.streams.shard.admission import NotAdmitted, not_admitted_reason, says_sorry
from refrain.streams.shard.columns import FLIGHTS, TENANTS, WAITING, Change
from refrain.streams.shard.counts import Count, Dropped
from refrain.streams.shard.handlers.apart import ForwardedApart, forward_apart
from refrain.streams.shard.handlers.room import entering, evict_for
from refrain.streams.shard.in_flight import OpenFlight
from refrain.streams.shard.outcome import NOT_OF_A_RECORD, FoldResult
from refrain.streams.shard.removal import is_invalidated, is_withdrawn
from refrain.streams.shard.state import Shard

OBSERVATION_BYTES_MAX = 2_000_000
"""The largest observation, below the topic's own limit; a larger one leaves out what the model said."""
ENTRY_BYTES_MAX = DOCUMENT_BYTES_MAX - 1_000
"""The largest entry before it is valued. Nothing is evicted for one that `documents` does not take."""
NOT_CACHED_ANY_MORE = "the category is not cached any more, and the answer went to another requester: ask again"
Body = dict[str, Any]


def on_answered(shard: Shard, event: Answered, record: Record, out: FoldResult) -> None:
    """Complete a flight: answer every waiting request, and admit the answer where that is allowed."""
    open_flight = shard.flights.get(event.forward_id)
    if open_flight is None:
        return _unexpected(shard, event.forward_id, record, out)
    body = json.loads(event.body.data)
    if not isinstance(body, dict):
        raise ValueError("the answer is not a JSON object")
    problem = problem_in(body)
    if problem is not None:
        return fail_all(shard, event.forward_id, problem.code, problem.message, out)
    alike, others = _by_wording(open_flight)
    effects = _answers(shard, open_flight, alike, body)
    shared, apart = _answers(shard, open_flight, others, body), _apart(shard, open_flight, others, record)
    changes, counted = _admit(shard, open_flight, body, event, record)
    shard.apply([*_completed(open_flight), *changes, *([] if changes else apart.changes)])
    out.effects += effects + (shared if changes else apart.effects)
    out.counts += counted
    return None


def on_failed(shard: Shard, event: AnswerFailed, record: Record, out: FoldResult) -> None:
    """Fail a flight: an error to every waiting request; nothing is stored.

    What the connector says may quote the question: who waits for it in other words is not told.
    """
    open_flight = shard.flights.get(event.forward_id)
    if open_flight is None:
        return _unexpected(shard, event.forward_id, record, out)
    said, unsaid = event.error, (RefusalCode.UPSTREAM, "the model gave no answer to this question in other words")
    for each in open_flight.waiting.values():
        out.effects += _error(each, *(unsaid if each.asked is not None else (said.code, said.message)))
    shard.apply(_completed(open_flight))
    return None


def on_withheld(shard: Shard, event: AnswerWithheld, record: Record, out: FoldResult) -> None:
    """End a flight without its answer, which only the forwarded requester got; others that wait must ask again."""
    open_flight = shard.flights.get(event.forward_id)
    if open_flight is None:
        return _unexpected(shard, event.forward_id, record, out)
    others = [each for each in open_flight.waiting.values() if each.id != event.forward_id]
    out.effects += _errors(others, RefusalCode.WITHHELD, NOT_CACHED_ANY_MORE)
    out.counts.append(counts.not_admitted(NotAdmitted.CATEGORY_NEVER))
    shard.apply(_completed(open_flight))
    return None


def fail_all(shard: Shard, forward_id: str, code: str, message: str, out: FoldResult) -> None:
    """End a flight with an error to every request that waits for it."""
    open_flight = shard.flights.get(forward_id)
    if open_flight is None:
        return
    out.effects += _errors(open_flight.waiting.values(), code, message)
    shard.apply(_completed(open_flight))


def give_up(shard: Shard, id_: str, out: FoldResult) -> None:
    """Time out a waiting request at its deadline."""
    waiting = shard.flights.waits(id_)
    if waiting is None:
        return
    out.effects += _error(waiting, RefusalCode.DEADLINE, "the model did not answer before the deadline")
    out.counts.append(counts.timed_out(waiting.category))
    shard.apply([WAITING.delete(id_)])


def forget(shard: Shard, forward_id: str, out: FoldResult) -> None:
    """Expire a flight whose answer is not expected any more."""
    fail_all(shard, forward_id, RefusalCode.DEADLINE, "the model did not answer before the deadline", out)
    out.counts.append(counts.forgotten())


def _completed(open_flight: OpenFlight) -> list[Change]:
    waiting = [WAITING.delete(id_) for id_ in open_flight.waiting]
    return [*waiting, FLIGHTS.delete(open_flight.flight.forward_id)]


def _by_wording(open_flight: OpenFlight) -> tuple[list[Waiting], list[Waiting]]:
    """The requests that wait in the words that were forwarded, and those in others."""
    waiting = open_flight.waiting.values()
    return [each for each in waiting if each.asked is None], [each for each in waiting if each.asked is not None]


def _answers(shard: Shard, open_flight: OpenFlight, waiting: list[Waiting], body: Body) -> list[Outgoing]:
    """Responses with the answer, and observations of those that are observed."""
    limits = None if shard.policy is None else shard.policy.policy.limits
    observed = (_observed(shard, open_flight, each, body) for each in waiting)
    answers = [answer for each in waiting for answer in _answer(shard, each, body, limits)]
    return [*answers, *(one for one in observed if one is not None)]


def _apart(shard: Shard, open_flight: OpenFlight, waiting: list[Waiting], record: Record) -> ForwardedApart:
    """What comes of those who wait in other words where the answer is not kept."""
    flight = open_flight.flight
    if may_store(None if shard.policy is None else shard.policy.policy, flight.category):
        return forward_apart(shard, flight, waiting, record)
    return ForwardedApart(_errors(waiting, RefusalCode.WITHHELD, NOT_CACHED_ANY_MORE), [])


def _unexpected(shard: Shard, forward_id: str, record: Record, out: FoldResult) -> None:
    """Drop a second or late answer; dead-letter one to a question that this shard never saw."""
    if _was_asked(shard, forward_id):
        out.counts.append(counts.dropped(Dropped.SECOND_ANSWER))
        return
    refusal = Refusal(RefusalCode.NOT_ASKED, f"no question {forward_id} was forwarded by this shard")
    out.effects.append(dead_letter(record, refusal, "lookup"))
    out.counts.append(counts.refused(refusal.code))


def _was_asked(shard: Shard, forward_id: str) -> bool:
    asked = parse_request_id(forward_id)
    if asked is None:
        return False
    return any(
        asked.offset <= highest
        for key, highest in shard.highwater.items()
        if (place := parse_topic_partition_key(key)) is not None
        and place.partition == asked.partition
        and decision_tag(place.topic_id, shard.incarnation) == asked.tag
    )


def _answer(shard: Shard, waiting: Waiting, body: Body, limits: Limits | None) -> list[Outgoing]:
    own = waiting.outcome is Outcome.MISS or not _projects(body)
    response = Response(
        request_id=waiting.request_id,
        tenant=waiting.tenant,
        outcome=waiting.outcome,
        body=body if own else served(project(body), waiting.id, shard.time_ms),
        decision=_summary_of(waiting),
    )
    records = told(waiting.reply, lambda: response)
    if not records:
        return _error(waiting, RefusalCode.FOLD_FAILED, "the answer could not be read")
    if limits is not None and any(len(record.value or b"") > limits.response_bytes_max for record in records):
        message = f"the answer is larger than a response may be ({limits.response_bytes_max} bytes)"
        return _error(waiting, RefusalCode.ANSWER_TOO_LARGE, message)
    return records


def _projects(body: Body) -> bool:
    """Whether the answer has the one choice that a projection is made of."""
    choices = body.get("choices")
    return isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict) and "message" in choices[0]


def _error(waiting: Waiting, code: str, message: str) -> list[Outgoing]:
    return told(waiting.reply, lambda: error_for(waiting, code, message, _summary_of(waiting)))


def _errors(waiting: Iterable[Waiting], code: str, message: str) -> list[Outgoing]:
    return [one for each in waiting for one in _error(each, code, message)]


def told(reply: Reply, make: Callable[[], Response]) -> list[Outgoing]:
    """The response to one requester; none where it cannot be made or addressed: the others get theirs all the same."""
    try:
        return [respond(reply, make())]
    except NOT_OF_A_RECORD:
        raise
    except Exception:  # noqa: BLE001 - whatever is wrong with one requester, it is no other's fault
        return []


def _summary_of(waiting: Waiting) -> DecisionSummary | None:
    """What a requester is told of the decision; None where it cannot be read, so that all else is told."""
    try:
        return DecisionSummary.model_validate_json(waiting.decision)
    except ValidationError:
        return None


def _admit(
    shard: Shard, open_flight: OpenFlight, body: Body, event: Answered, record: Record
) -> tuple[list[Change], list[Count]]:
    flight = open_flight.flight
    policy = None if shard.policy is None else shard.policy.policy.of(flight.category)
    if shard.policy is None or policy is None or policy.cache is Cacheable.NEVER:
        return [], [counts.not_admitted(NotAdmitted.CATEGORY_NEVER)]
    limits = shard.policy.policy.limits
    reason = not_admitted_reason(body, policy) or _not_admitted_now(shard, open_flight)
    if reason:
        return [], [counts.not_admitted(reason)]
    expires_at_ms = shard.time_ms + policy.apology_ttl_ms if says_sorry(body) else None
    entry = _entry(flight, body, event, record, shard.time_ms, expires_at_ms)
    if is_too_large(entry, limits):
        return [], [counts.not_admitted(NotAdmitted.TOO_LARGE)]
    if entry.answer_digest in shard.banned.get(open_flight.space.hex(), ()):
        return [], [counts.not_admitted(NotAdmitted.JUDGED_WRONG)]
    tenant = shard.policy.policy.limits_of(flight.tenant)
    use = None if tenant is None else shard.tenants.after_entry(flight.tenant, tenant, shard.time_ms)
    if tenant is not None and (use is None or not shard.tenants.may_enter(flight.tenant, open_flight.space, tenant)):
        return [], [counts.not_admitted(NotAdmitted.TENANT_LIMIT)]
    fits, counted = evict_for(shard, flight, shard.policy.policy)
    if not fits:
        return [], [counts.not_admitted(NotAdmitted.NO_ROOM)]
    changes = entering(shard, entry, shard.policy.policy)
    if tenant is not None and tenant.entries_per_minute is not None and use is not None:
        changes.append(TENANTS.put(flight.tenant, use))
    counted.append(counts.admitted(flight.category))
    return changes, counted


def is_too_large(entry: Entry, limits: Limits) -> bool:
    """Whether the texts of an entry are more than the policy keeps, or all of it more than `documents` takes."""
    texts = len(entry.answer.data.encode()) + len(entry.question.data.encode())
    return texts > limits.entry_bytes_max or len(entry.encode()) > ENTRY_BYTES_MAX


def _not_admitted_now(shard: Shard, open_flight: OpenFlight) -> NotAdmitted | None:
    """Reason not to admit any answer to this question now: switched off, withdrawn, superseded; else None."""
    flight = open_flight.flight
    if shard.is_off(flight.category):
        return NotAdmitted.SWITCHED_OFF
    if is_invalidated(shard, flight):
        return NotAdmitted.WITHDRAWN
    same = shard.entries.exact(open_flight.space, open_flight.text)
    if same is not None and shard.entry(same).asked_offset > flight.offset:
        return NotAdmitted.SUPERSEDED
    return None


def _observed(shard: Shard, open_flight: OpenFlight, waiting: Waiting, body: Body) -> Outgoing | None:
    """Observation: an observed request's answer beside the one that the cache would have served, for `compare`.

    Nothing of a category that may not be stored any more, and nothing of an entry that has been withdrawn.
    """
    policy = None if shard.policy is None else shard.policy.policy
    if waiting.observed is None or not may_store(policy, waiting.category) or not _projects(body):
        return None
    answer = project(body)
    equal = digest_of_answer(answer) == waiting.observed_answer
    indexed = None if equal else shard.entries.by_id(waiting.observed)
    if indexed is not None and is_withdrawn(shard, indexed, open_flight.space):
        indexed = None
    observation = Observation(
        decision_id=waiting.id,
        tenant=waiting.tenant,
        category=waiting.category,
        model=open_flight.flight.model,
        entry_id=shard.wire_id(waiting.observed),
        time_ms=shard.time_ms,
        equal=equal,
        cached=None if indexed is None else Sealed(data=shard.stored_answer(indexed).text),
        answered=None if equal else Sealed(data=compact(answer)),
    )
    record = Outgoing("observations", waiting.id.encode(), observation.encode())
    if len(record.value or b"") <= OBSERVATION_BYTES_MAX:
        return record
    return record._replace(value=observation.model_copy(update={"answered": None}).encode())


def _entry(
    flight: Flight, body: Body, event: Answered, record: Record, time_ms: int, expires_at_ms: int | None
) -> Entry:
    answer = project(body)
    return Entry.trusted(
        **flight.question_key(),
        id=record.offset,
        answer=Sealed(data=compact(answer)),
        answer_digest=digest_of_answer(answer),
        tokens=tokens_of(body),
        forward_id=flight.forward_id,
        asked_offset=flight.offset,
        admitted_at_ms=time_ms,
        latency_ms=event.latency_ms,
        expires_at_ms=expires_at_ms,
    )
