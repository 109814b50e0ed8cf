"""What a completion becomes: a record for the shard that asked, or a response to the requester. Pure functions."""

from __future__ import annotations

import re

from schemas.base import Reply
from schemas.forwards import Completion, Status
from schemas.journal import Answered, AnswerFailed, AnswerWithheld
from schemas.responses import Outcome, Problem, Response
from streams.answers import refused, respond
from streams.errors import Refusal, RefusalCode
from streams.log import Outgoing, Record
from streams.reading import Addressed
from streams.routes import DirectRoute, ShardRoute

LATE_MS = 5_000
"""An answer that comes so long after its deadline finds its requester told by the shard, whatever the clocks say."""
_CODE = re.compile(r"[a-z0-9_.-]{1,64}")


def to_journal(route: ShardRoute, event: Answered | AnswerFailed | AnswerWithheld) -> Outgoing:
    """The event, for the shard that the route names."""
    return Outgoing("journal", route.forward_id.encode(), event.encode(), partition=route.partition)


def answered_to(route: ShardRoute | DirectRoute, reply: Reply, outcome: Outcome, completion: Completion) -> Outgoing:
    """The model's answer, for the requester that the route names."""
    response = Response(
        request_id=route.request_id,
        tenant=route.tenant,
        outcome=outcome,
        body=completion.body,
        decision=route.decision,
    )
    return respond(reply, response)


def tell(route: ShardRoute | DirectRoute, reply: Reply, problem: Problem) -> Outgoing:
    """Why there is no answer, for the requester that the route names."""
    response = refused(
        problem.code, problem.message, request_id=route.request_id, tenant=route.tenant, decision=route.decision
    )
    return respond(reply, response)


def is_late(record: Record, route: ShardRoute) -> bool:
    """Whether the shard has told the requester by now that its deadline is over, if the connector's clock is right."""
    return route.deadline_at_ms is not None and record.timestamp_ms > route.deadline_at_ms + LATE_MS


def neutral(failed: AnswerFailed) -> AnswerFailed:
    """The failure without the connector's words."""
    code = failed.error.code if _CODE.fullmatch(failed.error.code) else RefusalCode.UPSTREAM.value
    message = "the model gave no answer; what the connector says of it is not kept for this category"
    return AnswerFailed(forward_id=failed.forward_id, error=Problem(code=code, message=message))


def failure_of(completion: Completion) -> AnswerFailed:
    """What a shard is told of a question without an answer."""
    error = completion.error or Problem(code=RefusalCode.UPSTREAM.value, message="the connector gave no reason")
    return AnswerFailed(forward_id=completion.forward_id, error=error)


def failed(address: Addressed, refusal: Refusal) -> Completion:
    """What stands for a completion that cannot be read: whoever waits for it is told."""
    message = f"the connector's completion cannot be taken ({refusal}): mend the connector and ask again"
    return Completion(
        forward_id=address.forward_id,
        route=address.route,
        status=Status.FAILED,
        error=Problem(code=RefusalCode.UPSTREAM.value, message=message),
    )


def too_large(size: int, limit: int) -> Refusal:
    """Why an answer is not delivered; sizes in bytes."""
    return Refusal(RefusalCode.ANSWER_TOO_LARGE, f"the answer takes {size} bytes; at most {limit} are delivered")


def too_late() -> Problem:
    """Why an answer that may not be kept is not delivered long after its deadline."""
    message = "the answer came long after the deadline by the connector's clock: ask again, and see that it goes right"
    return Problem(code=RefusalCode.DEADLINE.value, message=message)


def problem_of(refusal: Refusal) -> Problem:
    """A refusal as requesters are told of it."""
    return Problem(code=refusal.code.value, message=str(refusal.args[0]))
