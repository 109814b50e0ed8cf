"""Producers of the real cluster, idempotent and transactional: both wait for every delivery report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.errors import Aborted, ClusterFailed, Fenced, Forbidden, SendFailed, Unanswered
from refrain.streams.kafka.bounded_call import StuckCall, bounded
from refrain.streams.kafka.closing import ClosesProducer
from refrain.streams.kafka.config import flushed_producer_config
from refrain.streams.kafka.convert import KafkaGroupMetadata, int_of, topic_partitions
from refrain.streams.kafka.faults import (
    FORGOTTEN_CODES,
    TAKEN_OVER_CODES,
    failure_of,
    flush,
    forbidden,
    is_unanswered,
)
from refrain.streams.kafka.interface import EndOffsets, GroupMetadata, OffsetAndMetadata, Outgoing, cluster_name
from refrain.streams.kafka.outages import STOP_WAIT_S, Outages, Waiting, pauses
from refrain.streams.settings import Settings

TRANSACTION_STEP_S = 2.0
"""How long one call of a transaction may take before it is tried again; the client goes on where it was."""
STUCK_S = TRANSACTION_STEP_S + 8.0
"""How long one call may take, whatever its timeout: with a coordinator away the client may never come back from it."""
COMMIT_S_MAX = 600.0
"""How long a commit may take until the worker gives up finding out what came of it, and restores."""
MISSING_TOPIC_MS = 5_000
"""How long a topic may be unknown to the broker before what is sent to it is refused."""
PARTITION_BY_KEY = -1
"""For librdkafka: the partition that the key belongs to."""
FLUSH_S = 0.5
FULL_S = 0.05
"""How long is waited for room in the client's queue, until it is looked at again."""


class KafkaProducer(ClosesProducer):
    """An idempotent producer: `send` waits until every record is acknowledged by all replicas."""

    def __init__(self, base: Mapping[str, Any], settings: Settings, outages: Outages) -> None:
        self._prefix = settings.prefix
        self._told_after_s = settings.send_timeout_ms / 1_000
        self._outages = outages
        self._producer = ConfluentProducer(
            {
                **flushed_producer_config(base),
                "enable.idempotence": True,
                "topic.metadata.propagation.max.ms": MISSING_TOPIC_MS,
                # Never give up on one record while later ones of its partition succeed: that would be a gap.
                "message.timeout.ms": 0,
            }
        )

    def send(self, records: Sequence[Outgoing]) -> None:
        """Produce and wait, as long as an outage lasts: the client goes on trying, in order and without repeats.

        Raises SendFailed for a refused record, and when patience is over or the worker is to stop.
        """
        with self._outages.waiting("acknowledgements") as wait:

            def go_on(missing: int) -> None:
                if wait.is_over(STOP_WAIT_S):
                    raise SendFailed(f"{missing} records were not acknowledged within {wait.lasted_s:.0f} s: is the"
                                     " broker up?")  # fmt: skip
                if wait.lasted_s >= self._told_after_s:
                    wait.failed(f"{missing} records are not acknowledged after {wait.lasted_s:.0f} s")

            try:
                produce_and_wait(self._producer, self._prefix, records, go_on)
            except Unanswered as problem:
                raise SendFailed(str(problem)) from problem


class KafkaTransactionalProducer(ClosesProducer):
    """A transactional producer; its first transaction initialises it and so fences others of its transactional id.

    Each step is tried again while the cluster does not answer. What cannot be completed is aborted, and raises Aborted:
    the same can be committed by another call.
    """

    def __init__(self, base: Mapping[str, Any], settings: Settings, name: str, outages: Outages) -> None:
        self._prefix = settings.prefix
        self._outages = outages
        self._timeout_s = settings.transaction_timeout_ms / 1_000
        self._told_after_s = settings.send_timeout_ms / 1_000
        self._config = {
            **flushed_producer_config(base),
            "transactional.id": name,
            "transaction.timeout.ms": settings.transaction_timeout_ms,
            "message.timeout.ms": settings.transaction_timeout_ms,
            "topic.metadata.propagation.max.ms": MISSING_TOPIC_MS,
        }
        self._ready = False
        self._producer = ConfluentProducer(self._config)

    def transact(
        self, records: Sequence[Outgoing], member: GroupMetadata | None, offsets: Mapping[int, OffsetAndMetadata]
    ) -> EndOffsets:
        group = cast(KafkaGroupMetadata, member) if member is not None and offsets else None
        with self._outages.waiting("a transaction") as wait:
            try:
                self._begin(wait)
                ends = self._prepare(records, group, offsets, wait)
                self._commit(wait)
                return ends
            except KafkaException as problem:
                raise self._failed(problem.args[0], wait) from problem

    def _begin(self, wait: Waiting) -> None:
        producer = self._producer
        if not self._ready:
            try:
                self._step(lambda: producer.init_transactions(TRANSACTION_STEP_S), wait)
            except Unanswered as problem:
                raise Aborted(str(problem)) from problem
            self._ready = True
            wait.answered()
        producer.begin_transaction()

    def _prepare(
        self,
        records: Sequence[Outgoing],
        group: KafkaGroupMetadata | None,
        offsets: Mapping[int, OffsetAndMetadata],
        wait: Waiting,
    ) -> EndOffsets:
        """Put records and offsets into the transaction. Raises Aborted when the cluster does not take them in time."""
        producer = self._producer
        try:
            ends = produce_and_wait(producer, self._prefix, records, lambda missing: self._go_on(missing, wait))
            if group is not None:
                committed, metadata = topic_partitions(group.name, offsets), group.metadata
                self._step(
                    lambda: producer.send_offsets_to_transaction(committed, metadata, TRANSACTION_STEP_S),
                    wait,
                    self._timeout_s,
                )
        except Unanswered as problem:
            if producer is self._producer:
                self._abort(wait)
            raise Aborted(str(problem)) from problem
        except (SendFailed, Forbidden):
            self._abort(wait)
            raise
        except KafkaException as problem:
            if problem.args[0].txn_requires_abort():
                self._abort(wait)
            raise
        return ends

    def _commit(self, wait: Waiting) -> None:
        """Commit. Raises Unanswered when nobody says in time what came of it, or the worker is to stop."""
        producer = self._producer
        try:
            self._step(lambda: producer.commit_transaction(TRANSACTION_STEP_S), wait, COMMIT_S_MAX)
        except Unanswered:
            self._replace()
            raise
        except KafkaException as problem:
            if problem.args[0].txn_requires_abort():
                self._abort(wait)
            raise

    def _go_on(self, missing: int, wait: Waiting) -> None:
        if wait.lasted_s > 2 * self._timeout_s or wait.is_over(STOP_WAIT_S):
            raise Unanswered(f"{missing} records of a transaction were not acknowledged in {wait.lasted_s:.0f} s")
        if wait.lasted_s >= self._told_after_s:
            wait.failed(f"{missing} records of a transaction are not acknowledged")

    def _step(self, step: Callable[[], Any], wait: Waiting, within_s: float = math.inf) -> None:
        """Carry out one step, again while its error is one that passes. Raises the KafkaException otherwise.

        Raises Unanswered when it is not done `within_s`, patience is over or the worker is to stop.
        """
        pause, until_s = pauses(), self._outages.clock() + within_s
        while True:
            try:
                bounded(step, STUCK_S)
                return
            except StuckCall as stuck:
                wait.failed(stuck)
                self._replace()
                raise Unanswered(f"a transaction waits for the cluster: {stuck}") from stuck
            except KafkaException as problem:
                error: KafkaError = problem.args[0]
                if error.fatal() or error.txn_requires_abort() or not is_unanswered(error):
                    raise
                if wait.is_over(STOP_WAIT_S) or self._outages.clock() >= until_s:
                    raise Unanswered(f"a transaction waits for the cluster: {error.str()}") from problem
                if wait.lasted_s >= self._told_after_s:
                    wait.failed(error.str())
            self._outages.pause(next(pause), whole=True)

    def _abort(self, wait: Waiting) -> None:
        producer = self._producer
        try:
            self._step(lambda: producer.abort_transaction(TRANSACTION_STEP_S), wait, self._timeout_s)
        except Unanswered:
            # The broker aborts it when its time is over, at the latest when another client is initialised.
            if producer is self._producer:
                self._replace()
        except KafkaException as problem:
            raise self._failed(problem.args[0], wait) from problem

    def _failed(self, error: KafkaError, wait: Waiting) -> ClusterFailed | Forbidden:
        """The error to raise. A client that can do no more because of an outage is replaced by a new one."""
        text = f"a transaction: {error.name()}: {error.str()}"
        forgotten = error.code() in FORGOTTEN_CODES
        # One that was open for longer than its timeout was ended by the broker: nobody took over.
        expired = error.code() in TAKEN_OVER_CODES and wait.lasted_s >= self._timeout_s
        if forgotten or expired:
            self._replace()
            return Aborted(f"{text}: the broker ended it")
        if is_unanswered(error) and not error.fatal():
            return Aborted(text)
        return failure_of(error, "a transaction")

    def _replace(self) -> None:
        self._producer = ConfluentProducer(self._config)
        self._ready = False


def produce_and_wait(
    producer: ConfluentProducer, prefix: str, records: Sequence[Outgoing], go_on: Callable[[int], None]
) -> EndOffsets:
    """Produce the records and wait for each delivery report. Returns the end offsets, as far as the broker told them.

    `go_on` is called again and again with the number that is missing, and ends the wait by raising. Raises SendFailed,
    Unanswered, Fenced or Forbidden too.
    """
    reports = _DeliveryReports()
    for record in records:
        name = cluster_name(prefix, record.topic)
        partition = PARTITION_BY_KEY if record.partition is None else record.partition
        while True:
            try:
                producer.produce(
                    name,
                    record.value,
                    record.key,
                    partition,
                    headers=list(record.headers),
                    on_delivery=reports.take,
                )
                break
            except BufferError:
                producer.poll(FULL_S)
                go_on(len(records))
            except KafkaException as problem:
                raise _not_taken(problem.args[0], name) from problem
    while reports.count < len(records) and reports.failure is None:
        try:
            flush(producer, FLUSH_S)
        except KafkaException as problem:
            # A producer that may write nothing at all fails as a whole.
            raise failure_of(problem.args[0], "producing") from problem
        if reports.count < len(records):
            go_on(len(records) - reports.count)
    if reports.failure is not None:
        error, where = reports.failure
        raise _refused(error, where)
    return {(topic.removeprefix(prefix), partition): end for (topic, partition), end in reports.ends.items()}


class _DeliveryReports:
    """Delivery reports of the records of one call: how many came, the ends that they tell, and the first failure."""

    def __init__(self) -> None:
        self.count = 0
        self.ends: dict[tuple[str, int], int] = {}
        self.failure: tuple[KafkaError, str] | None = None

    def take(self, error: KafkaError | None, message: Message) -> None:
        self.count += 1
        if error is None:
            offset = int_of(message.offset())
            # Of a record that was known to the broker already it may not tell the offset.
            if offset >= 0:
                partition = (message.topic() or "", int_of(message.partition()))
                self.ends[partition] = max(self.ends.get(partition, 0), offset + 1)
        elif self.failure is None:
            self.failure = (error, f"{message.topic()}[{message.partition()}]")


def _not_taken(error: KafkaError, name: str) -> ClusterFailed | Forbidden:
    """The error to raise for a record that the client does not take."""
    if error.fatal() or error.code() == KafkaError._FATAL:
        return failure_of(error, f"producing to {name}")
    return forbidden(error, f"producing to {name}") or SendFailed(f"cannot produce to {name}: {error.str()}")


def _refused(error: KafkaError, where: str) -> ClusterFailed | Forbidden:
    """The error to raise for a record that was not written."""
    if error.code() in TAKEN_OVER_CODES:
        return Fenced(f"{where}: {error.str()}: another worker took over; start this one again")
    denied = forbidden(error, f"producing to {where}")
    if denied is not None:
        return denied
    if is_unanswered(error):
        return Unanswered(f"{where}: not written in time ({error.str()})")
    return SendFailed(f"{where} refused a record: {error.str()}")
