"""The shell of processors without state: take a batch, work it, send what comes of it, keep the position.

A processor of this kind is a `Step` and a `run_*` that hands it to `run_stateless`. One that acts by the policy in
force is run in a policy session (see `refrain.streams.runtime.policy_session`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from refrain.schemas.control import PolicyInForce
from refrain.streams.errors import DeliveryExpired, Rebalanced
from refrain.streams.kafka.interface import Consumer, OffsetAndMetadata, Outgoing, Producer, Record
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_session import PolicySession

logger = logging.getLogger(__name__)

POLL_S = 0.1
COMMIT_INTERVAL_S = 0.1
ATTEMPTS_MAX = 10
"""How often a batch is worked whose outcome lapses on its way, before the worker stops."""


class Step(Protocol):
    """What a stateless processor does with a batch. Derive from it: only `process` has to be written."""

    def follow(self, policy: PolicyInForce | None) -> None:
        """Act by this policy from now on. Called in a policy session alone: before each poll and before each batch,
        never in the middle of one, and with the same policy again and again."""
        return

    def process(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        """What comes of a batch, in its order. Pure as far as its outcome goes: a batch may be worked again."""
        ...

    def sent(self) -> None:
        """What came of the last batch is acknowledged: it will not be worked again."""
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
    """Run until the context's `stop`. What a batch produced is acknowledged before its position is kept.

    A crash repeats at most what came since the last position; the shard knows repeats by their ids. Reader and writer
    are closed at the end.
    """
    batches = _Batches(step, consumer, producer, session)
    metrics = context.metrics
    pending: dict[int, OffsetAndMetadata] = {}
    due = time.monotonic()
    try:
        while not context.stop():
            batches.between()
            batch = consumer.poll(batch_max, POLL_S)
            if consumer.assignment():
                context.ready()
            if batch:
                started = time.perf_counter()
                out = batches.work(batch)
                _count(metrics, name, batch, out, time.perf_counter() - started)
                for record in batch:
                    pending[record.partition] = OffsetAndMetadata(record.offset + 1)
            if pending and time.monotonic() >= due:
                pending = keep(consumer, pending)
                due = time.monotonic() + COMMIT_INTERVAL_S
                for partition, behind in consumer.lag().items():
                    metrics.lag.labels(name, str(partition)).set(behind)
        if pending:
            keep(consumer, pending)
    finally:
        consumer.close()
        producer.close()


class _Batches:
    """A step, its policy session if it has one, and where its outcome goes."""

    def __init__(self, step: Step, consumer: Consumer, producer: Producer, session: PolicySession | None) -> None:
        self._step = step
        self._consumer = consumer
        self._producer = producer
        self._session = session

    def between(self) -> None:
        """Before a poll: take on the policy seen last, and acknowledge it. All produced before is acknowledged."""
        if self._session is None:
            return
        self._step.follow(self._session.adopt())
        acknowledgements = self._session.acknowledgements(self._consumer.member_id())
        for attempt in range(1, ATTEMPTS_MAX + 1):
            # It is as true later: what lapsed on its way is sent again.
            if self._is_sent(acknowledgements, attempt):
                return

    def work(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        """What came of the batch, once it is sent. What lapsed on its way is made again."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            out = self._process(batch)
            if self._is_sent(out, attempt):
                break
        self._step.sent()
        return out

    def _process(self, batch: Sequence[Record]) -> Sequence[Outgoing]:
        """The outcome of the batch by a policy that is still in force when it is there."""
        session = self._session
        if session is None:
            return self._step.process(batch)
        session.refresh(self._consumer.member_id())
        while True:
            self._step.follow(session.policy)
            out = self._step.process(batch)
            if session.still_in_force():
                return out

    def _is_sent(self, out: Sequence[Outgoing], attempt: int) -> bool:
        """Whether the records are acknowledged; False when they lapsed. Raises DeliveryExpired at the last attempt."""
        try:
            self._producer.send(out)
        except DeliveryExpired as lapsed:
            if attempt == ATTEMPTS_MAX:
                raise
            logger.warning("made or sent again, attempt %d: %s", attempt + 1, lapsed)
            return False
        return True


def keep(consumer: Consumer, pending: dict[int, OffsetAndMetadata]) -> dict[int, OffsetAndMetadata]:
    """Commit the positions of partitions still owned; returns what is left to commit later."""
    owned = set(consumer.assignment())
    mine = {partition: position for partition, position in pending.items() if partition in owned}
    try:
        consumer.commit(mine)
    except Rebalanced as rebalance:
        logger.info("position kept for later: %s", rebalance)
        return mine
    return {}


def _count(metrics: Metrics, name: str, batch: Sequence[Record], out: Sequence[Outgoing], seconds: float) -> None:
    metrics.batch.labels(name).observe(seconds)
    metrics.taken.labels(name, batch[0].topic).inc(len(batch))
    metrics.count_sent(name, out)
