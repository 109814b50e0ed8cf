"""Delivers completions by the policy in force: an event for the shard that asked, or a response.

`Delivery` decides whose text may be stored where, and who was answered already; the functions below make the records.
"""

from __future__ import annotations

import re

from pydantic_core import to_json

from refrain.schemas.base import Reply, Sealed
from refrain.schemas.forwards import Completion, Status
from refrain.schemas.journal import Answered, AnswerFailed, AnswerWithheld
from refrain.schemas.policy import Policy
from refrain.schemas.responses import Outcome, Problem, Response
from refrain.schemas.topics import JOURNAL_BYTES_MAX
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.lru import RecentIds
from refrain.streams.messaging.credentials import Credentials
from refrain.streams.messaging.dead_letters import reject
from refrain.streams.messaging.decoding import Envelope
from refrain.streams.messaging.model_errors import problem_in
from refrain.streams.messaging.privacy import has_uncacheable, may_store
from refrain.streams.messaging.responses import error_for, respond
from refrain.streams.messaging.routes import DirectRoute, ShardRoute
from refrain.streams.messaging.shards import Shards
from refrain.streams.metrics import Metrics, request_seconds

NAME = "populate"
ANSWER_BYTES_MAX = 1_000_000
"""The largest body that is carried to the journal or to a requester."""
ANSWERED_BYTES_MAX = JOURNAL_BYTES_MAX
"""The largest journal record that holds one: text is escaped twice there. Below the topic's own limit."""
SEEN_BEFORE = "seen"
LATE_MS = 5_000
"""So long after its deadline, the shard has answered the requester of an answer, whatever the clocks say."""
_CREDENTIALS = Credentials()
"""It knows no key: keys of foreign connectors are recognised by their form."""
CODE_CHARS_MAX = 256
MESSAGE_CHARS_MAX = 2_000
"""What is carried of a connector's code and message."""
_CODE = re.compile(r"[a-z0-9_.-]{1,64}")


class Delivery:
    """Decides the records of each completion, by the `policy` that is set before a batch (None: none is known).

    Only shards of `journal` are answered. A batch may be decided again until `sent` is called.
    """

    def __init__(self, journal: Shards, metrics: Metrics) -> None:
        self._journal = journal
        self._metrics = metrics
        self._request_seconds = request_seconds(metrics)
        self.policy: Policy | None = None
        self._answered = RecentIds()
        self._answering: set[str] = set()
        self._told_directly = RecentIds()
        """Those of `_answered` whose answer went straight to the requester."""

    def begin(self) -> None:
        """Begin a batch, perhaps the same one again."""
        self._answering.clear()

    def sent(self) -> None:
        """Remember the forwards answered since `begin`: their records are acknowledged."""
        for forward_id in self._answering:
            self._answered.add(forward_id)
        self._answering.clear()

    def remember(self, route: ShardRoute | DirectRoute) -> None:
        """Remember that an earlier worker answered whoever waited for this forward."""
        self._answered.add(route.forward_id)
        if isinstance(route, DirectRoute):
            self._told_directly.add(route.forward_id)

    def deliver(self, record: Record, route: ShardRoute | DirectRoute, completion: Completion) -> list[Outgoing]:
        """The records by which a completion is delivered; `record` holds it. An error in the body is a failure."""
        completion = checked(completion)
        if isinstance(route, DirectRoute):
            return self._to_requester(record, route, completion)
        wrong_shard = self._journal.wrong_shard(route.incarnation, route.partition)
        if wrong_shard is not None:
            return [self._dead_letter(record, wrong_shard, with_text=self._may_store(route))]
        if route.forward_id in self._told_directly:
            # classify has read the request again, by another policy: the shard's own forward came second.
            return [to_journal(route, AnswerWithheld(forward_id=route.forward_id))]
        # A shard knows repeats itself; they are remembered for those that will not get there.
        if self._may_store(route):
            out = self._to_shard(record, route, completion)
        elif self._seen(route.forward_id):
            return self._drop()
        else:
            out = self._withhold(record, route, completion)
        self._answering.add(route.forward_id)
        return out

    def deliver_unreadable(
        self, record: Record, refusal: Refusal, envelope: Envelope, route: ShardRoute | DirectRoute
    ) -> list[Outgoing]:
        """Dead-letter a completion that cannot be decoded, and tell whoever waits that it failed."""
        with_text = isinstance(route, ShardRoute) and self._may_store(route)
        letter = self._dead_letter(record, refusal, with_text=with_text)
        return [letter, *self.deliver_failed(record, refusal, envelope, route)]

    def deliver_failed(
        self, record: Record, refusal: Refusal, envelope: Envelope, route: ShardRoute | DirectRoute
    ) -> list[Outgoing]:
        """Report to the requester that a completion was refused; to nobody when its shard is not one of these."""
        if isinstance(route, ShardRoute) and self._journal.wrong_shard(route.incarnation, route.partition) is not None:
            return []
        return self.deliver(record, route, failed_completion(envelope, refusal))

    def dead_letter(self, record: Record, refusal: Refusal) -> Outgoing:
        """Dead-letter a completion that nobody waits for, with its text unless some category is `never`."""
        return self._dead_letter(record, refusal, with_text=not has_uncacheable(self.policy))

    def refuse_route(self, record: Record, refusal: Refusal) -> Outgoing:
        """Dead-letter a completion whose route cannot be trusted, without its text: its category is unknown."""
        return self._dead_letter(record, refusal, with_text=False)

    def _may_store(self, route: ShardRoute) -> bool:
        """Whether an answer of this route may be stored."""
        return route.category is None or may_store(self.policy, route.category)

    def _seen(self, forward_id: str) -> bool:
        """Whether this forward was answered before."""
        return forward_id in self._answered or forward_id in self._answering

    def _to_shard(self, record: Record, route: ShardRoute, completion: Completion) -> list[Outgoing]:
        if completion.error is not None or completion.body is None:
            return [to_journal(route, answer_failed(completion))]
        body = to_json(completion.body)
        answered = answer_event(route, body, completion) if len(body) <= ANSWER_BYTES_MAX else None
        if answered is not None and len(answered.value or b"") <= ANSWERED_BYTES_MAX:
            return [answered]
        refusal = too_large(len(body), ANSWER_BYTES_MAX)
        lost = AnswerFailed(forward_id=completion.forward_id, error=problem_of(refusal))
        return [to_journal(route, lost), self._dead_letter(record, refusal)]

    def _to_requester(self, record: Record, route: DirectRoute, completion: Completion) -> list[Outgoing]:
        if self._seen(route.forward_id):
            return self._drop()
        out = self._answer_of(record, route, completion)
        if route.asked_at_ms is not None:
            answered = completion.body is not None and completion.status is not Status.FAILED
            outcome = Outcome.BYPASS if answered else Outcome.ERROR
            seconds = max(0, record.timestamp_ms - route.asked_at_ms) / 1_000
            self._request_seconds.labels(outcome.value).observe(seconds)
        self._told_directly.add(route.forward_id)
        self._answering.add(route.forward_id)
        return out

    def _answer_of(self, record: Record, route: DirectRoute, completion: Completion) -> list[Outgoing]:
        if completion.body is None or completion.status is Status.FAILED:
            return [error_to(route, route.reply, answer_failed(completion).error)]
        answer = answered_to(route, route.reply, Outcome.BYPASS, completion)
        size = len(answer.value or b"")
        if size <= ANSWER_BYTES_MAX:
            return [answer]
        refusal = too_large(size, ANSWER_BYTES_MAX)
        # The answer may belong to a category whose text is kept nowhere.
        return [error_to(route, route.reply, problem_of(refusal)), self._dead_letter(record, refusal, with_text=False)]

    def _withhold(self, record: Record, route: ShardRoute, completion: Completion) -> list[Outgoing]:
        """Answer the requester, and tell the shard only that it is done: nothing that may quote the question."""
        if completion.body is None or completion.status is Status.FAILED:
            return [to_journal(route, without_message(answer_failed(completion)))]
        withheld = to_journal(route, AnswerWithheld(forward_id=route.forward_id))
        if route.reply is None:
            return [withheld]
        if is_late(record, route):
            # By the connector's clock: should that be wrong, the shard tells whoever still waits.
            return [to_journal(route, AnswerFailed(forward_id=route.forward_id, error=too_late()))]
        answer = answered_to(route, route.reply, Outcome.MISS, completion)
        limit = ANSWER_BYTES_MAX
        if self.policy is not None:
            limit = min(limit, self.policy.limits.response_bytes_max)
        size = len(answer.value or b"")
        if size <= limit:
            return [answer, withheld]
        refusal = too_large(size, limit)
        return [
            error_to(route, route.reply, problem_of(refusal)),
            withheld,
            self._dead_letter(record, refusal, with_text=False),
        ]

    def _drop(self) -> list[Outgoing]:
        self._metrics.dropped.labels(NAME, SEEN_BEFORE).inc()
        return []

    def _dead_letter(self, record: Record, refusal: Refusal, *, with_text: bool = True) -> Outgoing:
        return reject(record, refusal, NAME, self._metrics, with_text=with_text)


def to_journal(route: ShardRoute, event: Answered | AnswerFailed | AnswerWithheld) -> Outgoing:
    """An event as a record for the shard of the route."""
    return Outgoing("journal", route.forward_id.encode(), event.encode(), partition=route.partition)


def answer_event(route: ShardRoute, body: bytes, completion: Completion) -> Outgoing:
    """The model's answer as an event for the shard of the route; `body` is its JSON."""
    answered = Answered(
        forward_id=completion.forward_id, body=Sealed(data=body.decode()), latency_ms=completion.latency_ms
    )
    return to_journal(route, answered)


def answered_to(route: ShardRoute | DirectRoute, reply: Reply, outcome: Outcome, completion: Completion) -> Outgoing:
    """The model's answer as a response to the requester of the route."""
    response = Response(
        request_id=route.request_id,
        tenant=route.tenant,
        outcome=outcome,
        body=completion.body,
        decision=route.decision,
    )
    return respond(reply, response)


def error_to(route: ShardRoute | DirectRoute, reply: Reply, problem: Problem) -> Outgoing:
    """An error as a response to the requester of the route."""
    return respond(reply, error_for(route, problem.code, problem.message, route.decision))


def is_late(record: Record, route: ShardRoute) -> bool:
    """Whether the shard has told the requester by now that the deadline is over, if the connector's clock is right."""
    return route.deadline_at_ms is not None and record.timestamp_ms > route.deadline_at_ms + LATE_MS


def without_message(failed: AnswerFailed) -> AnswerFailed:
    """The failure without the connector's message, which may quote the question."""
    code = failed.error.code if _CODE.fullmatch(failed.error.code) else RefusalCode.UPSTREAM.value
    message = "the model gave no answer; what the connector says of it is not kept for this category"
    return AnswerFailed(forward_id=failed.forward_id, error=Problem(code=code, message=message))


def answer_failed(completion: Completion) -> AnswerFailed:
    """The event that a forward has no answer; credentials are struck from what the connector says of it."""
    error = completion.error or Problem(code=RefusalCode.UPSTREAM.value, message="the connector gave no reason")
    code, message = error.code[:CODE_CHARS_MAX], error.message[:MESSAGE_CHARS_MAX]
    struck = Problem(code=_CREDENTIALS.strike(code), message=_CREDENTIALS.strike(message))
    return AnswerFailed(forward_id=completion.forward_id, error=struck)


def checked(completion: Completion) -> Completion:
    """The completion, as a failed one where its body is an error: connectors may take any response for an answer."""
    problem = None if completion.body is None else problem_in(completion.body)
    if problem is None:
        return completion
    return completion.model_copy(update={"status": Status.FAILED, "body": None, "error": completion.error or problem})


def failed_completion(envelope: Envelope, refusal: Refusal) -> Completion:
    """The failed completion in place of one that cannot be decoded."""
    message = f"the connector's completion cannot be taken ({refusal}): mend the connector and ask again"
    return Completion(
        forward_id=envelope.forward_id,
        route=envelope.route,
        status=Status.FAILED,
        error=Problem(code=RefusalCode.UPSTREAM.value, message=message),
    )


def too_large(size: int, limit: int) -> Refusal:
    """The refusal of an answer over the limit; sizes in bytes."""
    return Refusal(RefusalCode.ANSWER_TOO_LARGE, f"the answer takes {size} bytes; at most {limit} are delivered")


def too_late() -> Problem:
    """The problem of an answer that may not be stored and came long after its deadline."""
    message = "the answer came long after the deadline by the connector's clock: ask again, and see that it goes right"
    return Problem(code=RefusalCode.DEADLINE.value, message=message)


def problem_of(refusal: Refusal) -> Problem:
    """A refusal as the problem in a response."""
    return Problem(code=refusal.code.value, message=refusal.text)
