"""populate: brings each completion back to where its question came from.

`completions` -> `journal` (a shard remembers who waits), or straight to the requester (nothing is remembered).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from pydantic_core import to_json

from schemas.base import Sealed
from schemas.forwards import Completion, Status
from schemas.journal import Answered, AnswerFailed
from schemas.responses import Outcome, Problem, Response
from streams.answers import refused, respond
from streams.dead_letters import bury
from streams.errors import Refusal, RefusalCode
from streams.log import Log, Outgoing, Reader, Record
from streams.metrics import Metrics
from streams.reading import Addressed, address_of, read
from streams.recent import Recent
from streams.routes import DirectRoute, ShardRoute, decode_route
from streams.settings import Settings
from streams.stateless import run_stateless

logger = logging.getLogger(__name__)

NAME = "populate"
SOURCE = "completions"
BATCH_MAX = 500
ANSWER_BYTES_MAX = 1_000_000
"""The largest body that is carried to the journal or to a requester."""
ANSWERED_BYTES_MAX = 2_000_000
"""The largest journal record that holds one: text is escaped twice there. Below the topic's own limit."""
REMEMBERED_MAX = 1_000
"""Completions of each partition that a worker looks back at, to know whom another one has told already."""
SEEN_BEFORE = "seen"


def run_populate(
    settings: Settings,
    log: Log,
    metrics: Metrics,
    *,
    stop: Callable[[], bool],
    ready: Callable[[], None],
    now_ms: Callable[[], int],
) -> None:
    """Run until `stop`. Raises WrongSetup for missing topics, LogFailed when the broker fails."""
    step = Populate(log.partitions("journal"), log.topic_id("journal"), metrics)
    log.partitions(SOURCE)
    memory = _Memory(log, step)
    reader = memory.reader = log.reader(SOURCE, NAME, memory)
    run_stateless(NAME, reader, log.writer(), step, metrics, batch_max=BATCH_MAX, stop=stop, ready=ready)


class Populate:
    """Completions in; journal records, responses and dead letters out.

    `partitions` and `incarnation` (topic id) are the journal's: an answer for another one was not asked here.
    """

    def __init__(self, partitions: int, incarnation: str, metrics: Metrics) -> None:
        self._partitions = partitions
        self._incarnation = incarnation
        self._metrics = metrics
        self._told = Recent()

    def __call__(self, batch: Sequence[Record]) -> list[Outgoing]:
        """What comes of a batch, in its order."""
        return [out for record in batch for out in self._one(record)]

    def remember(self, record: Record) -> None:
        """Whoever this completion was for has been told."""
        address = address_of(record.value)
        if address is None:
            return
        try:
            route = decode_route(address.route, address.forward_id)
        except Refusal:
            return
        if isinstance(route, DirectRoute):
            self._told.add(route.forward_id)

    def _one(self, record: Record) -> Iterable[Outgoing]:
        try:
            completion = read(record.value, Completion.decode)
        except Refusal as refusal:
            return self._unreadable(record, refusal)
        try:
            route = self._route(completion.route, completion.forward_id)
        except Refusal as refusal:
            return [self._bury(record, refusal)]
        return self._deliver(record, route, completion)

    def _deliver(self, record: Record, route: ShardRoute | DirectRoute, completion: Completion) -> list[Outgoing]:
        if isinstance(route, ShardRoute):
            return self._to_shard(record, route, completion)
        return self._to_requester(record, route, completion)

    def _unreadable(self, record: Record, refusal: Refusal) -> list[Outgoing]:
        """A dead letter; when it can be seen whose answer it was meant to be, somebody waits and is told."""
        address = address_of(record.value)
        if address is None:
            return [self._bury(record, refusal)]
        try:
            route = self._route(address.route, address.forward_id)
        except Refusal:
            return [self._bury(record, refusal)]
        letter = self._bury(record, refusal, with_text=isinstance(route, ShardRoute))
        return [letter, *self._deliver(record, route, _failed(address, refusal))]

    def _route(self, text: str, forward_id: str) -> ShardRoute | DirectRoute:
        route = decode_route(text, forward_id)
        if isinstance(route, DirectRoute):
            return route
        if route.incarnation != self._incarnation:
            raise Refusal(RefusalCode.NOT_ASKED, "the question was asked through another incarnation of the journal")
        if not 0 <= route.partition < self._partitions:
            raise Refusal(RefusalCode.NOT_ASKED, f"the journal has {self._partitions} partitions, no {route.partition}")
        return route

    def _to_shard(self, record: Record, route: ShardRoute, completion: Completion) -> list[Outgoing]:
        if completion.error is not None or completion.body is None:
            return [_to_journal(route, _answer_failed(completion))]
        body = to_json(completion.body)
        if len(body) <= ANSWER_BYTES_MAX:
            answered = _to_journal(
                route,
                Answered(
                    forward_id=completion.forward_id,
                    body=Sealed(data=body.decode()),
                    latency_ms=completion.latency_ms,
                ),
            )
            if len(answered.value or b"") <= ANSWERED_BYTES_MAX:
                return [answered]
        refusal = _too_large(len(body))
        failed = AnswerFailed(forward_id=completion.forward_id, error=_problem(refusal))
        return [_to_journal(route, failed), self._bury(record, refusal)]

    def _to_requester(self, record: Record, route: DirectRoute, completion: Completion) -> list[Outgoing]:
        if route.forward_id in self._told:
            self._metrics.dropped.labels(NAME, SEEN_BEFORE).inc()
            return []
        self._told.add(route.forward_id)
        if completion.body is None or completion.status is Status.FAILED:
            problem = _answer_failed(completion).error
            return [_tell(route, problem)]
        response = Response(
            request_id=route.request_id,
            tenant=route.tenant,
            outcome=Outcome.BYPASS,
            body=completion.body,
            decision=route.decision,
        )
        answer = respond(route.reply, response)
        if len(answer.value or b"") <= ANSWER_BYTES_MAX:
            return [answer]
        refusal = _too_large(len(answer.value or b""))
        # The answer may belong to a category whose text is kept nowhere.
        return [_tell(route, _problem(refusal)), self._bury(record, refusal, with_text=False)]

    def _bury(self, record: Record, refusal: Refusal, *, with_text: bool = True) -> Outgoing:
        logger.warning("%s[%d]@%d: %s", record.topic, record.partition, record.offset, refusal)
        self._metrics.refused.labels(NAME, refusal.code.value).inc()
        return bury(record, refusal, NAME, with_text=with_text)


class _Memory:
    """Looks back from where a partition goes on: a repeated completion must not tell its requester something else."""

    reader: Reader

    def __init__(self, log: Log, step: Populate) -> None:
        self._log = log
        self._step = step

    def assigned(self, partitions: Sequence[int]) -> None:
        for partition, position in (self.reader.committed(partitions) if partitions else {}).items():
            start = max(0, position.next_offset - REMEMBERED_MAX)
            for record in self._log.scan(SOURCE, partition, start):
                if record.offset >= position.next_offset:
                    break
                self._step.remember(record)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Nothing is kept a partition."""

    def lost(self, partitions: Sequence[int]) -> None:
        """Nothing is kept a partition."""


def _to_journal(route: ShardRoute, event: Answered | AnswerFailed) -> Outgoing:
    return Outgoing("journal", route.forward_id.encode(), event.encode(), partition=route.partition)


def _tell(route: DirectRoute, problem: Problem) -> Outgoing:
    response = refused(
        problem.code, problem.message, request_id=route.request_id, tenant=route.tenant, decision=route.decision
    )
    return respond(route.reply, response)


def _answer_failed(completion: Completion) -> AnswerFailed:
    error = completion.error or Problem(code=RefusalCode.UPSTREAM.value, message="the connector gave no reason")
    return AnswerFailed(forward_id=completion.forward_id, error=error)


def _failed(address: Addressed, refusal: Refusal) -> Completion:
    message = f"the connector's completion cannot be taken ({refusal}): mend the connector and ask again"
    return Completion(
        forward_id=address.forward_id,
        route=address.route,
        status=Status.FAILED,
        error=Problem(code=RefusalCode.UPSTREAM.value, message=message),
    )


def _too_large(size: int) -> Refusal:
    return Refusal(
        RefusalCode.ANSWER_TOO_LARGE, f"the answer takes {size} bytes; at most {ANSWER_BYTES_MAX} are delivered"
    )


def _problem(refusal: Refusal) -> Problem:
    return Problem(code=refusal.code.value, message=str(refusal.args[0]))
