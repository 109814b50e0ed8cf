"""The shell of stateless processors: poll a batch, process it, produce the outcome, commit the offsets.

A processor of this kind is a `Step` and a `run_*` that hands it to `run_stateless`. One that acts by the policy in
force is run in a policy session (see `refrain.streams.runtime.policy_session`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from refrain.schemas.control import PolicyInForce
from refrain.streams.errors import DeliveryExpired, Rebalanced
from refrain.streams.kafka.interface import Consumer, OffsetAndMetadata, Outgoing, Producer, Record
from refrain.streams.messaging.sending import fitting_producer
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_session import PolicySession

logger = logging.getLogger(__name__)

POLL_S = 0.1
COMMIT_INTERVAL_S = 0.1
ATTEMPTS_MAX = 10
"""How often a batch is processed whose outcome expires before delivery, until the worker stops."""


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

    def sent(self) -> None:
        """The outcome of the last batch is acknowledged by the broker: it will not be processed again."""
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
) -> None:
    """Run until the context's `stop`. A batch's outcome is acknowledged before its offsets are committed.

    A crash repeats at most what came since the last commit; the shard knows repeats by their ids. Consumer and
    producer are closed at the end.
    """
    metrics = context.metrics
    producer = fitting_producer(producer, context.cluster, context.settings.prefix, name, metrics)
    batches = _BatchProcessor(step, consumer, producer, session)
    pending: dict[int, OffsetAndMetadata] = {}
    due = time.monotonic()
    try:
        while not context.stop():
            batches.before_poll()
            batch = consumer.poll(step.wanted(batch_max), POLL_S)
            step.polled(batch, consumer.lag, context.now_ms())
            if consumer.assignment():
                context.ready()
            if batch:
                started = time.perf_counter()
                out = batches.run(batch)
                _count(metrics, name, batch, out, time.perf_counter() - started)
                for record in batch:
                    pending[record.partition] = OffsetAndMetadata(record.offset + 1)
            if pending and time.monotonic() >= due:
                pending = commit_owned(consumer, pending)
                due = time.monotonic() + COMMIT_INTERVAL_S
                for partition, behind in consumer.lag().items():
                    metrics.lag.labels(name, str(partition)).set(behind)
        if pending:
            commit_owned(consumer, pending)
    finally:
        consumer.close()
        producer.close()


class _BatchProcessor:
    """Processes batches: a step, its policy session if it has one, and the producer of its outcome."""

    def __init__(self, step: Step, consumer: Consumer, producer: Producer, session: PolicySession | None) -> None:
        self._step = step
        self._consumer = consumer
        self._producer = producer
        self._session = session

    def before_poll(self) -> None:
        """Adopt the policy seen last and acknowledge it. Call it when all that was produced is acknowledged."""
        if self._session is None:
            return
        self._step.follow(self._session.adopt())
        acknowledgements = self._session.acknowledgements(self._consumer.member_id())
        for attempt in range(1, ATTEMPTS_MAX + 1):
            # It is as true later: what expired on its way is sent again.
            if self._send(acknowledgements, attempt):
                return

    def run(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        """Process the batch and send the outcome; an outcome that expired on its way is made again."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            out = self._process(batch)
            if self._send(out, attempt):
                break
        self._step.sent()
        return out

    def _process(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        """The outcome of the batch by a policy that is still in force when the batch is processed."""
        session = self._session
        if session is None:
            return self._step.process(batch)
        session.refresh(self._consumer.member_id())
        while True:
            self._step.follow(session.policy)
            out = self._step.process(batch)
            if session.still_in_force():
                return out

    def _send(self, out: Sequence[Outgoing], attempt: int) -> bool:
        """Send the records; False when they expired. Raises DeliveryExpired at the last attempt."""
        try:
            self._producer.send(out)
        except DeliveryExpired as expired:
            if attempt == ATTEMPTS_MAX:
                raise
            logger.warning("made or sent again, attempt %d: %s", attempt + 1, expired)
            return False
        return True


def commit_owned(consumer: Consumer, pending: dict[int, OffsetAndMetadata]) -> dict[int, OffsetAndMetadata]:
    """Commit the offsets of partitions still owned; returns what is left to commit later."""
    owned = set(consumer.assignment())
    mine = {partition: offset for partition, offset in pending.items() if partition in owned}
    try:
        consumer.commit(mine)
    except Rebalanced as rebalance:
        logger.info("offsets are committed later: %s", rebalance)
        return mine
    return {}


def _count(metrics: Metrics, name: str, batch: Sequence[Record], out: Sequence[Outgoing], seconds: float) -> None:
    metrics.batch.labels(name).observe(seconds)
    metrics.taken.labels(name, batch[0].topic).inc(len(batch))
    metrics.count_sent(name, out)
