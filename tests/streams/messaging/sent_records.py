"""Records of every kind that processors send, with a text that may lie nowhere else, and ways to make them not fit."""

from __future__ import annotations

from refrain.schemas.base import Reply, Sealed
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.forwards import Completion, Forward, Status
from refrain.schemas.journal import Answered, AnswerFailed, decode_event
from refrain.schemas.observations import Observation
from refrain.schemas.responses import DecisionSummary, Outcome, Problem, Response
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.dead_letters import dead_letter
from refrain.streams.messaging.responses import error_response, respond
from refrain.streams.messaging.routes import DirectRoute, ShardRoute, encode_route
from tests.streams.shard.journal import Journal, vector

TEXT = "a text of somebody's own "
REPLIES = "/replies"
REPLY = Reply(topic=REPLIES, key="a2V5", headers=())
SUMMARY = DecisionSummary(id="0-7-tag", category="code", similarity=0.5, threshold=0.9, reason="below_threshold")
HEADERS = (("trace", b"1"),)


def response(text: str = TEXT) -> Outgoing:
    """An answer."""
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    answer = Response(request_id="mine", tenant="acme", outcome=Outcome.MISS, body=body, decision=SUMMARY)
    return respond(REPLY, answer)._replace(headers=HEADERS)


def error(text: str = TEXT) -> Outgoing:
    """An error response."""
    failed = error_response("upstream_failed", text, request_id="mine", tenant="acme", decision=SUMMARY)
    return respond(REPLY, failed)._replace(headers=HEADERS)


def shard_forward(text: str = TEXT) -> Outgoing:
    """A forward whose answer a shard waits for."""
    return _forward(ShardRoute(forward_id="0-7-tag", incarnation="j", partition=1, reply=REPLY), text)


def direct_forward(text: str = TEXT) -> Outgoing:
    """A forward whose answer goes straight to the requester."""
    route = DirectRoute(forward_id="0-7-tag", request_id="mine", tenant="acme", reply=REPLY, decision=SUMMARY)
    return _forward(route, text)


def _forward(route: ShardRoute | DirectRoute, text: str) -> Outgoing:
    body = {"messages": [{"role": "user", "content": text}]}
    forward = Forward(forward_id="0-7-tag", model="m", body=body, deadline_at_ms=9, route=encode_route(route))
    return Outgoing("forwards", b"0-7-tag", forward.encode())


def asked(text: str = TEXT) -> Outgoing:
    """A question for a shard."""
    return Outgoing("journal", b"acme/code/0", Journal().ask(text, vector(1), reply=REPLY, request_id="mine").value)


def answered(text: str = TEXT) -> Outgoing:
    """An answer for a shard."""
    event = Answered(forward_id="0-7-tag", body=Sealed(data=text))
    return Outgoing("journal", b"0-7-tag", event.encode(), (), 1)


def answer_failed(text: str = TEXT) -> Outgoing:
    """A failure for a shard."""
    event = AnswerFailed(forward_id="0-7-tag", error=Problem(code="upstream_failed", message=text))
    return Outgoing("journal", b"0-7-tag", event.encode(), (), 1)


def completion(text: str = TEXT) -> Outgoing:
    """A model's answer."""
    whole = Completion(forward_id="0-7-tag", route="r", status=Status.OK, body={"text": text})
    return Outgoing("completions", b"0-7-tag", whole.encode())


def decision(text: str = TEXT) -> Outgoing:
    """A decision with the words that explain it."""
    whole = Decision(
        id="0-7-tag", partition=0, offset=7, time_ms=1, tenant="acme", category="code", model="m",
        outcome=Outcome.MISS, reason=Reason.BELOW_THRESHOLD, differs=(text,),
    )  # fmt: skip
    return Outgoing("decisions", b"0-7-tag", whole.encode())


def observation(text: str = TEXT) -> Outgoing:
    """An observed answer."""
    whole = Observation(
        decision_id="0-7-tag", tenant="acme", category="code", model="m", entry_id="0-1-j", time_ms=1, equal=False,
        cached=Sealed(data=text), answered=Sealed(data=text),
    )  # fmt: skip
    return Outgoing("observations", b"0-7-tag", whole.encode())


def doubt(text: str = TEXT) -> Outgoing:
    """A question for the verifier."""
    raised = DoubtRaised(
        id="0-7-tag", partition=0, incarnation="j", category="code", entry=1, question=Sealed(data=text),
        cached=Sealed(data=text), deadline_at_ms=9,
    )  # fmt: skip
    return Outgoing("doubts", b"0-7-tag", raised.encode())


def letter(text: str = TEXT) -> Outgoing:
    """A dead letter with the original's bytes and headers."""
    record = Record("requests", 0, 7, 1, b"k", text.encode(), (("h", text.encode()),))
    return dead_letter(record, Refusal(RefusalCode.UNREADABLE, "not JSON"), "classify")


KINDS = {
    "response": response,
    "error": error,
    "shard_forward": shard_forward,
    "direct_forward": direct_forward,
    "asked": asked,
    "answered": answered,
    "answer_failed": answer_failed,
    "completion": completion,
    "decision": decision,
    "observation": observation,
    "doubt": doubt,
    "letter": letter,
}
WAITED_FOR = {
    "response",
    "error",
    "shard_forward",
    "direct_forward",
    "asked",
    "answered",
    "answer_failed",
    "completion",
}
"""Kinds by which a requester is told something."""


def tells(record: Record) -> bool:
    """Whether a record tells a requester, or whoever tells one, how it ended."""
    if record.topic == REPLIES:
        return Response.decode(record.value or b"").request_id == "mine"
    if record.topic == "journal":
        return isinstance(decode_event(record.value or b""), Answered | AnswerFailed)
    return record.topic == "completions" and Completion.decode(record.value or b"").forward_id == "0-7-tag"
