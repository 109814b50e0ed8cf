"""populate: brings each completion back to where its question came from.

`completions` -> `journal` (a shard remembers who waits), or straight to the requester (nothing is remembered).
An answer to a question of a category that has become `never` meanwhile goes to its requester, and the shard learns
only that it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pydantic_core import to_json

from schemas.base import Sealed
from schemas.control import PolicyInForce
from schemas.forwards import Completion, Status
from schemas.journal import Answered, AnswerFailed, AnswerWithheld
from schemas.policy import Policy
from schemas.responses import Outcome
from streams.acting import Acting
from streams.dead_letters import turn_away
from streams.delivering import (
    answered_to,
    failed,
    failure_of,
    is_late,
    neutral,
    problem_of,
    tell,
    to_journal,
    too_large,
    too_late,
)
from streams.errors import Refusal
from streams.in_force import PolicyFollower, lease_s_of, within_ms_of
from streams.log import Log, Outgoing, Reader, Record
from streams.metrics import Metrics
from streams.never import has_never, may_keep
from streams.reading import address_of, read
from streams.recent import Recent
from streams.routes import DirectRoute, ShardRoute, decode_route
from streams.settings import Settings
from streams.sharding import Shards
from streams.stateless import run_stateless
from streams.topic_check import require_topics

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
    require_topics(log, NAME)
    with PolicyFollower(log, metrics, NAME, lease_s=lease_s_of(settings)) as policies:
        acting = Acting(NAME, policies, now_ms, lambda: step.settle())
        step = Populate(Shards(log.partitions("journal"), log.topic_id("journal")), metrics, acting.policy)
        memory = _Memory(log, step)
        reader = memory.reader = log.reader(SOURCE, NAME, memory)
        run_stateless(
            NAME,
            reader,
            log.writer(within_ms=within_ms_of(settings)),
            step,
            metrics,
            batch_max=BATCH_MAX,
            stop=stop,
            ready=ready,
            policed=acting,
        )


class Populate:
    """Completions in; journal records, responses and dead letters out.

    An answer for another journal was not asked here.
    `policy` gives the policy to act by. A batch may be worked again until `settle` is called.
    """

    def __init__(self, journal: Shards, metrics: Metrics, policy: Callable[[], PolicyInForce | None]) -> None:
        self._journal = journal
        self._metrics = metrics
        self._in_force = policy
        self._policy: Policy | None = None
        self._told = Recent()
        self._telling: set[str] = set()

    def __call__(self, batch: Sequence[Record]) -> list[Outgoing]:
        """What comes of a batch, in its order."""
        in_force = self._in_force()
        self._policy = None if in_force is None else in_force.policy
        self._telling.clear()
        return [out for record in batch for out in self._one(record)]

    def settle(self) -> None:
        """What came of the last batch was sent: whoever it told is not told again."""
        for forward_id in self._telling:
            self._told.add(forward_id)
        self._telling.clear()

    def remember(self, record: Record) -> None:
        """Whoever this completion was for has been told."""
        address = address_of(record.value)
        if address is None:
            return
        try:
            route = decode_route(address.route, address.forward_id)
        except Refusal:
            return
        self._told.add(route.forward_id)

    def _one(self, record: Record) -> Iterable[Outgoing]:
        try:
            completion = read(record.value, Completion.decode)
        except Refusal as refusal:
            return self._unreadable(record, refusal)
        try:
            route = decode_route(completion.route, completion.forward_id)
        except Refusal as refusal:
            return [self._bury(record, refusal, with_text=self._harmless)]
        misplaced = self._misplaced(route)
        if misplaced is not None:
            return [self._bury(record, misplaced, with_text=self._keeps(route))]
        return self._deliver(record, route, completion)

    def _deliver(self, record: Record, route: ShardRoute | DirectRoute, completion: Completion) -> list[Outgoing]:
        if isinstance(route, DirectRoute):
            return self._to_requester(record, route, completion)
        # A shard sees repeats itself; they are remembered for those that will not reach it.
        seen = self._seen(route.forward_id)
        if self._keeps(route):
            return self._to_shard(record, route, completion)
        return self._drop() if seen else self._withhold(record, route, completion)

    def _unreadable(self, record: Record, refusal: Refusal) -> list[Outgoing]:
        """A dead letter; when it can be seen whose answer it was meant to be, somebody waits and is told."""
        address = address_of(record.value)
        try:
            route = None if address is None else decode_route(address.route, address.forward_id)
        except Refusal:
            route = None
        if address is None or route is None:
            return [self._bury(record, refusal, with_text=self._harmless)]
        letter = self._bury(record, refusal, with_text=self._keeps(route))
        if self._misplaced(route) is not None:
            return [letter]
        return [letter, *self._deliver(record, route, failed(address, refusal))]

    @property
    def _harmless(self) -> bool:
        """Whether no text can be regulated, whosever it is."""
        return not has_never(self._policy)

    def _keeps(self, route: ShardRoute | DirectRoute) -> bool:
        """Whether an answer on this way may lie anywhere."""
        if isinstance(route, DirectRoute):
            return False
        return route.category is None or may_keep(self._policy, route.category)

    def _misplaced(self, route: ShardRoute | DirectRoute) -> Refusal | None:
        """Why the journal has no such shard, None when it has."""
        if isinstance(route, DirectRoute):
            return None
        return self._journal.misplaced(route.incarnation, route.partition)

    def _seen(self, forward_id: str) -> bool:
        """Whether this question was answered before; from now on it is."""
        seen = forward_id in self._told or forward_id in self._telling
        self._telling.add(forward_id)
        return seen

    def _to_shard(self, record: Record, route: ShardRoute, completion: Completion) -> list[Outgoing]:
        if completion.error is not None or completion.body is None:
            return [to_journal(route, failure_of(completion))]
        body = to_json(completion.body)
        if len(body) <= ANSWER_BYTES_MAX:
            answered = to_journal(
                route,
                Answered(
                    forward_id=completion.forward_id,
                    body=Sealed(data=body.decode()),
                    latency_ms=completion.latency_ms,
                ),
            )
            if len(answered.value or b"") <= ANSWERED_BYTES_MAX:
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
        if self._policy is not None:
            limit = min(limit, self._policy.limits.response_bytes_max)
        size = len(answer.value or b"")
        if size <= limit:
            return [answer, withheld]
        refusal = too_large(size, limit)
        return [tell(route, route.reply, problem_of(refusal)), withheld, self._bury(record, refusal, with_text=False)]

    def _drop(self) -> list[Outgoing]:
        self._metrics.dropped.labels(NAME, SEEN_BEFORE).inc()
        return []

    def _bury(self, record: Record, refusal: Refusal, *, with_text: bool = True) -> Outgoing:
        return turn_away(record, refusal, NAME, self._metrics, with_text=with_text)


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
