"""Smaller selves: what is sent in place of a record that its topic does not take. Pure.

One step at a time, in this order: without headers; without text, as an error to whoever waits where it can reach them;
a dead letter of digests; nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from refrain.schemas.base import Part
from refrain.schemas.dead_letters import HEADER_PROCESSOR, HEADER_REASON, HEADER_TARGET, HEADERS, NotSent
from refrain.schemas.decisions import Decision
from refrain.schemas.forwards import Completion, Status
from refrain.schemas.journal import Answered, AnswerFailed, Asked, decode_event
from refrain.schemas.observations import Observation
from refrain.schemas.responses import DecisionSummary, Outcome, Problem
from refrain.schemas.topics import BY_NAME
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing, wire_bytes, wire_header_bytes
from refrain.streams.kafka.targets import Misfit, Unfit
from refrain.streams.messaging import progress
from refrain.streams.messaging.dead_letters import TOPIC
from refrain.streams.messaging.decoding import envelope_of
from refrain.streams.messaging.own_topics import RESPONSES
from refrain.streams.messaging.responses import error_for, respond
from refrain.streams.messaging.routes import ShardRoute, decode_route

MENDED_BY_NOTHING = frozenset({"documents", "policies", "control"})
"""State: without these records nothing that comes after them is right."""
GONE = (Unfit.MISSING, Unfit.REFUSED)
"""The journal itself is gone, or takes nothing."""
BRIEF_CHARS = 100
"""The shortest form of an error's message; after that it is left out."""
CUT_CHARS = 1_000
ID_BYTES_MAX = 300
TARGET_CHARS_MAX = 260


class _Told(Part):
    """The part of a response that an error in its place repeats."""

    request_id: str | None = None
    tenant: str | None = None
    outcome: Outcome
    error: Problem | None = None
    decision: DecisionSummary | None = None


def smaller(record: Outgoing, misfit: Misfit, processor: str, first: Outgoing) -> list[Outgoing] | None:
    """The records to send in place of one that its topic does not take: each may have to become smaller again.

    `first` is the record that was to be sent, of which a dead letter tells. None when nothing may stand in its place.
    """
    if record.topic in MENDED_BY_NOTHING or (record.topic == "journal" and misfit.kind in GONE):
        return None
    if record.topic == progress.TOPIC:
        # Nothing relies on it, and whoever wants it has put up with its being late.
        return []
    if record.topic == TOPIC:
        return _of_dead_letter(record, misfit)
    letter = not_sent(first, misfit, processor)
    if record.topic == RESPONSES or record.topic not in BY_NAME:
        return _of_response(record, misfit, letter)
    if record.headers and _is_size(misfit):
        return [record._replace(headers=())]
    try:
        return _STEPS[record.topic](record, misfit, letter) if record.topic in _STEPS else [letter]
    except (ValidationError, Refusal):
        return [letter]


def not_sent(record: Outgoing, misfit: Misfit, processor: str) -> Outgoing:
    """The dead letter of a record that cannot be sent: digests, sizes and ids."""
    told = _told(record)
    left = NotSent(
        topic=record.topic[:TARGET_CHARS_MAX],
        partition=record.partition,
        key_bytes=None if record.key is None else len(record.key),
        key_sha256=_sha256(record.key),
        value_bytes=None if record.value is None else len(record.value),
        value_sha256=_sha256(record.value),
        headers=len(record.headers),
        headers_bytes=wire_header_bytes(record.headers),
        id=_id_of(record) if told is None or told.decision is None else told.decision.id[:ID_BYTES_MAX],
        request_id=None if told is None or told.request_id is None else told.request_id[:ID_BYTES_MAX],
    )
    about = (
        (HEADER_TARGET, left.topic),
        (HEADER_PROCESSOR, processor),
        (HEADER_REASON, f"{RefusalCode.NOT_SENT.value}: {misfit.text}"),
    )
    return Outgoing(TOPIC, None, left.encode(), tuple((name, text.encode("utf-8", "replace")) for name, text in about))


def _of_response(record: Outgoing, misfit: Misfit, letter: Outgoing) -> list[Outgoing]:
    bare = record._replace(headers=())
    if record.headers and (_fits(bare, misfit)):
        return [bare]
    told = _told(record) if _is_size(misfit) else None
    if told is None:
        return [letter]
    if told.outcome is not Outcome.ERROR:
        # With its headers: by them a client may know whose answer it is.
        message = f"{misfit.text}: ask for less, or raise max.message.bytes of the reply topic"
        return [_error_in_place(record, told, RefusalCode.ANSWER_TOO_LARGE.value, message, told.decision)]
    if record.headers:
        return [bare]
    problem = told.error or Problem(code=RefusalCode.ANSWER_TOO_LARGE.value, message="")
    if told.decision is None and problem.message == "":
        return [letter]
    is_brief = told.decision is None and len(problem.message) <= BRIEF_CHARS
    return [_error_in_place(record, told, problem.code, "" if is_brief else problem.message[:BRIEF_CHARS], None)]


def _error_in_place(
    record: Outgoing, told: _Told, code: str, message: str, decision: DecisionSummary | None
) -> Outgoing:
    return record._replace(value=error_for(told, code, message, decision).encode())


def _of_dead_letter(record: Outgoing, misfit: Misfit) -> list[Outgoing]:
    """Without the original's headers, then without its bytes; one that still does not fit is given up."""
    if not _is_size(misfit):
        return []
    own = tuple(header for header in record.headers if header[0] in (*HEADERS, HEADER_TARGET))
    if own != record.headers:
        return [record._replace(headers=own)]
    return [] if record.value is None and record.key is None else [record._replace(key=None, value=None)]


def _of_journal(record: Outgoing, misfit: Misfit, letter: Outgoing) -> list[Outgoing]:
    event = decode_event(record.value or b"")
    if isinstance(event, Asked):
        problem = _problem(misfit, "the question cannot be looked up; with its escapes")
        return [respond(event.reply, error_for(event, problem.code, problem.message))]
    if isinstance(event, Answered):
        code = RefusalCode.ANSWER_TOO_LARGE if _is_size(misfit) else RefusalCode.NOT_SENT
        problem = Problem(code=code.value, message=misfit.text)
        return [record._replace(value=AnswerFailed(forward_id=event.forward_id, error=problem).encode())]
    if isinstance(event, AnswerFailed) and len(event.error.message) > CUT_CHARS:
        return [record._replace(value=event.model_copy(update={"error": _cut(event.error)}).encode())]
    return [letter]


def _of_forward(record: Outgoing, misfit: Misfit, letter: Outgoing) -> list[Outgoing]:
    """The failure of the forward, for whoever waits for its answer."""
    envelope = envelope_of(record.value)
    if envelope is None:
        return [letter]
    route = decode_route(envelope.route, envelope.forward_id)
    problem = _problem(misfit, "the question cannot be forwarded to a model;")
    if isinstance(route, ShardRoute):
        failed = AnswerFailed(forward_id=route.forward_id, error=problem)
        return [Outgoing("journal", route.forward_id.encode(), failed.encode(), partition=route.partition)]
    return [respond(route.reply, error_for(route, problem.code, problem.message, route.decision))]


def _problem(misfit: Misfit, what: str) -> Problem:
    """The problem of a question that cannot be sent on."""
    code, advice = (RefusalCode.TOO_LARGE, ": shorten it") if _is_size(misfit) else (RefusalCode.NOT_SENT, "")
    return Problem(code=code.value, message=f"{what} {misfit.text}{advice}")


def _of_completion(record: Outgoing, misfit: Misfit, letter: Outgoing) -> list[Outgoing]:
    if not _is_size(misfit):
        return [letter]
    completion = Completion.decode(record.value or b"")
    if completion.status is not Status.FAILED:
        error = Problem(code=RefusalCode.ANSWER_TOO_LARGE.value, message=misfit.text)
    elif completion.error is not None and len(completion.error.message) > CUT_CHARS:
        error = _cut(completion.error)
    else:
        return [letter]
    failed = completion.model_copy(update={"status": Status.FAILED, "body": None, "error": error})
    return [record._replace(value=failed.encode())]


def _of_decision(record: Outgoing, misfit: Misfit, letter: Outgoing) -> list[Outgoing]:
    """The decision without what explains it."""
    decision = Decision.decode(record.value or b"")
    if not _is_size(misfit) or not (decision.candidates or decision.guards or decision.differs or decision.depends):
        return [letter]
    bare = decision.model_copy(update={"candidates": (), "guards": (), "differs": (), "depends": None})
    return [record._replace(value=bare.encode())]


def _of_observation(record: Outgoing, misfit: Misfit, letter: Outgoing) -> list[Outgoing]:
    observation = Observation.decode(record.value or b"")
    if not _is_size(misfit) or (observation.cached is None and observation.answered is None):
        return [letter]
    return [record._replace(value=observation.model_copy(update={"cached": None, "answered": None}).encode())]


_STEPS: Mapping[str, Callable[[Outgoing, Misfit, Outgoing], list[Outgoing]]] = {
    "journal": _of_journal,
    "forwards": _of_forward,
    "completions": _of_completion,
    "decisions": _of_decision,
    "observations": _of_observation,
}


def _is_size(misfit: Misfit) -> bool:
    """Whether a smaller record may fit."""
    return misfit.kind is Unfit.TOO_LARGE


def _fits(record: Outgoing, misfit: Misfit) -> bool:
    return misfit.bytes_max is not None and wire_bytes(record) <= misfit.bytes_max


def _told(record: Outgoing) -> _Told | None:
    """What a response tells beside the answer; None for a record that is no response."""
    if record.topic in BY_NAME and record.topic != RESPONSES:
        return None
    try:
        return _Told.model_validate_json(record.value or b"")
    except ValidationError:
        return None


def _cut(problem: Problem) -> Problem:
    return problem.model_copy(update={"message": problem.message[:CUT_CHARS]})


def _id_of(record: Outgoing) -> str | None:
    """The key as an id; None where a client chose it, or there is none."""
    if record.topic not in BY_NAME or record.topic == RESPONSES or record.key is None:
        return None
    return record.key[:ID_BYTES_MAX].decode("utf-8", "replace")


def _sha256(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
