"""What a completion becomes, by the policy in force: a record for the shard that asked, or a response.

`Delivery` decides whose text may lie where, and who was told already; the functions under it make the records.
"""

from __future__ import annotations

import re

from pydantic_core import to_json
from refrain.schemas.base import Reply, Sealed
from refrain.schemas.forwards import Completion, Status
from refrain.schemas.journal import Answered, AnswerFailed, AnswerWithheld
from refrain.schemas.policy import Policy
from refrain.schemas.responses import Outcome, Problem, Response
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.lru import RecentIds
from refrain.streams.messaging.dead_letters import reject
from refrain.streams.messaging.decoding import Envelope
from refrain.streams.messaging.privacy import has_uncacheable, may_store
from refrain.streams.messaging.responses import refused, respond
from refrain.streams.messaging.routes import DirectRoute, ShardRoute
from refrain.streams.messaging.shards import Shards
from refrain.streams.metrics import Metrics

NAME = "populate"
ANSWER_BYTES_MAX = 1_000_000
"""The largest body that is carried to the journal or to a requester."""
ANSWERED_BYTES_MAX = 2_000_000
"""The largest journal record that holds one: text is escaped twice there. Below the topic's own limit."""
SEEN_BEFORE = "seen"
LATE_MS = 5_000
"""An answer that comes so long after its deadline finds its requester told by the shard, whatever the clocks say."""
_CODE = re.compile(r"[a-z0-9_.-]{1,64}")


class Delivery:
    """Decides what becomes of each completion, by the `policy` that is set before a batch (None: none is known).

    `journal` is the one whose shards may be answered. A batch may be decided again until `sent` is called.
    """

    def __init__(self, journal: Shards, metrics: Metrics) -> None:
        self._journal = journal
        self._metrics = metrics
        self.policy: Policy | None = None
        self._told = RecentIds()
        self._telling: set[str] = set()

    def begin(self) -> None:
        """A batch begins, perhaps once more."""
        self._telling.clear()

    def sent(self) -> None:
        """What was decided since `begin` was sent: whoever it told is not told again."""
        for forward_id in self._telling:
            self._told.add(forward_id)
        self._telling.clear()

    def remember(self, forward_id: str) -> None:
        """Whoever waited for this forward was told by an earlier worker."""
        self._told.add(forward_id)

    def of(self, record: Record, route: ShardRoute | DirectRoute, completion: Completion) -> list[Outgoing]:
        """What a completion becomes; `record` is where it stands."""
        if isinstance(route, DirectRoute):
            return self._to_requester(record, route, completion)
        wrong_shard = self._journal.wrong_shard(route.incarnation, route.partition)
        if wrong_shard is not None:
            return [self._bury(record, wrong_shard, with_text=self._may_store(route))]
        # A shard sees repeats itself; they are remembered for those that will not reach it.
        seen = self._seen(route.forward_id)
        if self._may_store(route):
            return self._to_shard(record, route, completion)
        return self._drop() if seen else self._withhold(record, route, completion)

    def of_unreadable(
        self, record: Record, refusal: Refusal, address: Envelope, route: ShardRoute | DirectRoute
    ) -> list[Outgoing]:
        """A dead letter, and the failure of what whoever is named in it waits for."""
        with_text = isinstance(route, ShardRoute) and self._may_store(route)
        letter = self._bury(record, refusal, with_text=with_text)
        if isinstance(route, ShardRoute) and self._journal.wrong_shard(route.incarnation, route.partition) is not None:
            return [letter]
        return [letter, *self.of(record, route, failed(address, refusal))]

    def rejected(self, record: Record, refusal: Refusal) -> Outgoing:
        """A dead letter of what nobody waits for, with its text where no text can be regulated, whosever it is."""
        return self._bury(record, refusal, with_text=not has_uncacheable(self.policy))

    def _may_store(self, route: ShardRoute) -> bool:
        """Whether an answer on this way may lie anywhere."""
        return route.category is None or may_store(self.policy, route.category)

    def _seen(self, forward_id: str) -> bool:
        """Whether this question was answered before; from now on it is."""
        seen = forward_id in self._told or forward_id in self._telling
        self._telling.add(forward_id)
        return seen

    def _to_shard(self, record: Record, route: ShardRoute, completion: Completion) -> list[Outgoing]:
        if completion.error is not None or completion.body is None:
            return [to_journal(route, failure_of(completion))]
        body = to_json(completion.body)
        answered = answer_of(route, body, completion) if len(body) <= ANSWER_BYTES_MAX else None
        if answered is not None and len(answered.value or b"") <= ANSWERED_BYTES_MAX:
            return [answered]
        refusal = too_large(len(body), ANSWER_BYTES_MAX)
        lost = AnswerFailed(forward_id=completion.forward_id, error=problem_of(refusal))
        return [to_journal(route, lost), self._bury(record, refusal)]

    def _to_requester(self, record: Record, route: DirectRoute, completion: Completion) -> list[Outgoing]:
        if self._seen(route.forward_id):
            return self._drop()
        if completion.body is None or completion.status is Status.FAILED:
            return [tell(route, route.reply, failure_of(completion).error)]
        answer = answered_to(route, route.reply, Outcome.BYPASS, completion)
        size = len(answer.value or b"")
        if size <= ANSWER_BYTES_MAX:
            return [answer]
        refusal = too_large(size, ANSWER_BYTES_MAX)
        # The answer may belong to a category whose text is kept nowhere.
        return [tell(route, route.reply, problem_of(refusal)), self._bury(record, refusal, with_text=False)]

    def _withhold(self, record: Record, route: ShardRoute, completion: Completion) -> list[Outgoing]:
        """Tell the requester, and the shard only that it is done: nothing that may quote the question."""
        if completion.body is None or completion.status is Status.FAILED:
            return [to_journal(route, neutral(failure_of(completion)))]
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
        return [tell(route, route.reply, problem_of(refusal)), withheld, self._bury(record, refusal, with_text=False)]

    def _drop(self) -> list[Outgoing]:
        self._metrics.dropped.labels(NAME, SEEN_BEFORE).inc()
        return []

    def _bury(self, record: Record, refusal: Refusal, *, with_text: bool = True) -> Outgoing:
        return reject(record, refusal, NAME, self._metrics, with_text=with_text)


def to_journal(route: ShardRoute, event: Answered | AnswerFailed | AnswerWithheld) -> Outgoing:
    """The event, for the shard that the route names."""
    return Outgoing("journal", route.forward_id.encode(), event.encode(), partition=route.partition)


def answer_of(route: ShardRoute, body: bytes, completion: Completion) -> Outgoing:
    """The model's answer, for the shard that the route names; `body` is the JSON of it."""
    answered = Answered(
        forward_id=completion.forward_id, body=Sealed(data=body.decode()), latency_ms=completion.latency_ms
    )
    return to_journal(route, answered)


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


def failed(address: Envelope, refusal: Refusal) -> Completion:
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
