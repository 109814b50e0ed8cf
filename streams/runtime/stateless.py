"""The shell of stateless processors: poll a batch, process it, produce the outcome, commit the offsets.

Each record stands behind a barrier (`refrain.streams.runtime.barrier`): one that is too large is set aside unread, and
where a batch fails as a whole, its records are worked one at a time.

A processor of this kind is a `Step` and a `run_*` that hands it to `run_stateless`. One that acts by the policy in
force is run in a policy session (see `refrain.streams.runtime.policy_session`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from refrain.schemas.control import PolicyInForce
from refrain.streams.errors import DeliveryExpired, Rebalanced, Refusal, RefusalCode
from refrain.streams.kafka.interface import Consumer, Outgoing, Producer, Record
from refrain.streams.kafka.outages import pauses
from refrain.streams.messaging.dead_letters import reject
from refrain.streams.messaging.decoding import check_size
from refrain.streams.messaging.quarantine import quarantined, refusal_of_quarantined
from refrain.streams.messaging.sending import fitting_producer
from refrain.streams.runtime.barrier import Barrier, passes
from refrain.streams.runtime.batch_commits import BatchCommits
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.membership import Membership, firsts_of
from refrain.streams.runtime.policy_session import PolicySession
from refrain.streams.runtime.progress import Progress

logger = logging.getLogger(__name__)

POLL_S = 0.25
Behind = Callable[[], Mapping[int, int]]


class Step(Protocol):
    """One step of a stateless processor: a batch in, records out. Derive from it: only `process` has to be written."""

    def follow(self, policy: PolicyInForce | None) -> None:
        """Act by this policy from now on. Called in a policy session alone: before each poll and before each batch,
        never in the middle of one, and with the same policy again and again."""
        return

    def wanted(self, batch_max: int) -> int:
        """How many records to poll: at least one, at most `batch_max`."""
        return batch_max

    def polled(self, batch: Sequence[Record], behind: Behind, now_ms: int) -> None:
        """A poll gave this batch, perhaps an empty one. Called once a poll, before the batch is processed.

        `behind` gives the lag of each assigned partition, `now_ms` is the time of day.
        """
        return

    def process(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        """The outcome of a batch, in its order. The same each time: a batch may be processed again."""
        ...

    def tell(self, record: Record, refusal: Refusal) -> Sequence[Outgoing]:
        """Errors for whoever waits for a record that the shell set aside, as far as they are known without reading it.

        The shell makes the dead letter.
        """
        return ()

    def sent(self) -> None:
        """The outcome of the last batch is acknowledged by the broker: it will not be processed again."""
        return

    def in_doubt(self, batch: Sequence[Record]) -> bool:
        """Whether what was made of the batch before, and may be written, must not be made without a policy now.

        The policy is then waited for, however long.
        """
        return False

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Records below these offsets, by partition, are committed: nobody reads them again."""
        return


def run_stateless(
    name: str,
    consumer: Consumer,
    producer: Producer,
    step: Step,
    context: WorkerContext,
    *,
    batch_max: int,
    session: PolicySession | None = None,
    place: Callable[[int], str] = str,
) -> None:
    """Run until the context's `stop`. A batch's outcome is acknowledged before its offsets are committed.

    `place` names a partition in metrics, where a worker reads several topics.

    A crash repeats at most what came since the last commit; the shard knows repeats by their ids. Consumer and
    producer are closed at the end.
    """
    metrics = context.metrics
    producer = fitting_producer(producer, context.cluster, context.settings.prefix, name, metrics)
    progress: Progress | None = None
    outages = context.outages
    membership = Membership(consumer, context.settings.session_timeout_ms / 1_000, outages, outages.clock)
    batches = _BatchProcessor(name, step, consumer, producer, session, membership, context)
    commits = BatchCommits(consumer, step.committed)
    try:
        while not context.stop():
            batches.before_poll()
            membership.look()
            batch = consumer.poll(step.wanted(batch_max), POLL_S)
            membership.polled()
            step.polled(batch, consumer.lag, context.now_ms())
            owned = consumer.assignment()
            if owned:
                context.ready()
            if batch:
                progress = progress or context.progress(name, batch[0].topic)
                progress.follow(owned)
                for run in batches.work(batch, progress):
                    commits.add(run)
            if commits.commit_when_due():
                for partition, behind in consumer.lag().items():
                    metrics.lag.labels(name, place(partition)).set(behind)
        commits.commit()
    finally:
        consumer.close()
        producer.close()


class _StepFailed(Exception):
    """A step raised what nobody foresaw: the fault of a record, as nothing else is in its hands."""

    def __init__(self, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class _BatchProcessor:
    """Processes batches: a step, its policy session if it has one, and the producer of its outcome."""

    def __init__(
        self,
        name: str,
        step: Step,
        consumer: Consumer,
        producer: Producer,
        session: PolicySession | None,
        membership: Membership,
        context: WorkerContext,
    ) -> None:
        self._membership = membership
        self._name = name
        self._metrics = context.metrics
        self._barrier = Barrier(name, context.metrics, self._set_aside)
        self._step = step
        self._consumer = consumer
        self._producer = producer
        self._session = session
        self._outages = context.outages
        self._firsts: dict[int, int] = {}
        """The first offsets of the batch in hand."""

    def before_poll(self) -> None:
        """Adopt the policy seen last and acknowledge it. Call it when all that was produced is acknowledged."""
        if self._session is None:
            return
        self._step.follow(self._session.adopt())
        acknowledgements = self._session.acknowledgements(self._consumer.member_id())
        # It is as true later: what expired on its way is sent again.
        self._send(lambda: acknowledgements)

    def work(self, batch: Sequence[Record], progress: Progress) -> Iterator[Sequence[Record]]:
        """Work a batch, in the runs that `progress` makes of it; gives each run whose outcome is acknowledged.

        What is left when the partitions may have another owner is read again where it is still ours.
        """
        left = list(batch)
        for run in progress.runs(batch):
            started = time.perf_counter()
            try:
                with progress.in_hand(run):
                    out = self._work_run(run, progress)
            except Rebalanced as rebalance:
                logger.warning(
                    "a batch of %d records is left, and read again where it is still ours: %s", len(left), rebalance
                )
                _read_again(self._consumer, left)
                return
            self._metrics.batch.labels(self._name).observe(time.perf_counter() - started)
            self._metrics.taken.labels(self._name, run[0].topic).inc(len(run))
            self._metrics.count_sent(self._name, out)
            del left[: len(run)]
            yield run

    def _work_run(self, batch: Sequence[Record], progress: Progress) -> Sequence[Outgoing]:
        """Process the batch and send the outcome. Where that fails, each record is worked alone, in their order.

        Raises Rebalanced, with nothing sent since, when the partitions may have another owner.
        """
        self._firsts = firsts_of(batch)
        read, aside = self._read(batch, progress)
        try:
            return self._run(read, aside)
        except _StepFailed as failed:
            kind = type(failed.error).__name__
            logger.warning("a batch of %d records is worked one at a time: %s", len(read), kind)
        self._send(lambda: aside)
        return [*aside, *(out for record in read for out in self._run_alone(record))]

    def _run_alone(self, record: Record) -> Sequence[Outgoing]:
        """Process one record and send the outcome; what it fails of costs it alone."""
        try:
            return self._run([record], [])
        except _StepFailed as failed:
            out = self._barrier.outcome_of(record, failed.error)
        self._send(lambda: out)
        return out

    def _run(self, batch: Sequence[Record], aside: Sequence[Outgoing]) -> Sequence[Outgoing]:
        """Process the batch and send the outcome, with that of the records that were set aside."""
        out = self._send(lambda: [*aside, *self._process(batch)] if batch else aside)
        self._step.sent()
        return out

    def _read(self, batch: Sequence[Record], progress: Progress) -> tuple[Sequence[Record], list[Outgoing]]:
        """The records that are read, and the outcome of those that are not."""
        read: list[Record] = []
        aside: list[Outgoing] = []
        for record in batch:
            if progress.is_set_aside(record):
                self._metrics.refused.labels(self._name, RefusalCode.QUARANTINED.value).inc()
                aside += self._quarantined(record, progress)
                continue
            try:
                check_size(record)
                read.append(record)
            except Refusal as refusal:
                aside += self._barrier.outcome_of(record, refusal)
        return read, aside

    def _quarantined(self, record: Record, progress: Progress) -> list[Outgoing]:
        """Dead-letter a record that has ended its worker twice, and tell whoever waits for it."""
        letter = quarantined(record, self._name)
        with progress.telling(record) as may_be_read:
            try:
                return [letter, *(self._step.tell(record, refusal_of_quarantined()) if may_be_read else ())]
            except Exception as error:
                if passes(error):
                    raise
                # Nothing tells who waits.
                return [letter]

    def _set_aside(self, record: Record, refusal: Refusal) -> list[Outgoing]:
        told = self._step.tell(record, refusal)
        return [reject(record, refusal, self._name, self._metrics, with_text=False), *told]

    def _process(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        """The outcome of the batch by a policy that is still in force when the batch is processed."""
        session = self._session
        if session is None:
            return self._made_of(batch)
        in_doubt = self._step.in_doubt(batch)
        session.refresh(self._consumer.member_id(), for_ever=in_doubt)
        while True:
            self._step.follow(session.policy)
            out = self._made_of(batch)
            self._membership.confirm(self._firsts)
            if session.still_in_force(for_ever=in_doubt):
                return out

    def _made_of(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        """What the step makes of the batch. Raises _StepFailed for what may be the fault of a record in it."""
        try:
            return self._step.process(batch)
        except Exception as error:
            if passes(error):
                raise
            raise _StepFailed(error) from error

    def _send(self, make: Callable[[], Sequence[Outgoing]]) -> Sequence[Outgoing]:
        """Send what `make` gives, made and sent again while it expires on its way; returns what was sent.

        Raises DeliveryExpired when the worker is to stop before anything was written.
        """
        with self._outages.waiting("acknowledgements") as wait:
            pause = pauses()
            while True:
                out = make()
                try:
                    self._producer.send(out)
                    return out
                except DeliveryExpired as expired:
                    wait.failed(expired)
                    if wait.is_over():
                        raise
                self._outages.pause(next(pause))


def _read_again(consumer: Consumer, records: Sequence[Record]) -> None:
    """Go back to records that were polled and not sent, in partitions that are still assigned."""
    owned = set(consumer.assignment())
    for partition, offset in firsts_of(records).items():
        if partition in owned:
            consumer.seek(partition, offset)
