"""Producers of the real cluster, idempotent and transactional: both wait for every delivery report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.errors import Aborted, ClusterFailed, Forbidden, RecordsRefused, SendFailed, Unanswered
from refrain.streams.kafka.bounded_call import StuckCall, bounded
from refrain.streams.kafka.closing import ClosesProducer
from refrain.streams.kafka.config import flushed_producer_config
from refrain.streams.kafka.convert import KafkaGroupMetadata, topic_partitions
from refrain.streams.kafka.delivery import PARTITION_BY_KEY, UNWRITABLE, DeliveryReports
from refrain.streams.kafka.faults import (
    FORGOTTEN_CODES,
    TAKEN_OVER_CODES,
    failure_of,
    flush,
    forbidden,
    is_nameless,
    is_unanswered,
)
from refrain.streams.kafka.incarnation import Incarnation
from refrain.streams.kafka.interface import EndOffsets, GroupMetadata, OffsetAndMetadata, Outgoing, cluster_name
from refrain.streams.kafka.outages import STOP_WAIT_S, Outages, Waiting, pauses
from refrain.streams.settings import Settings

TRANSACTION_STEP_S = 2.0
"""How long one call of a transaction may take before it is tried again; the client goes on where it was."""
STUCK_S = TRANSACTION_STEP_S + 8.0
"""How long one call may take, whatever its timeout: with a coordinator away the client may never come back from it."""
COMMIT_S_MAX = 600.0
"""How long a commit may take until the worker gives up finding out what came of it, and restores."""
REFUSAL_WAIT_S = 2.0
"""How long a transaction that is aborted for a refused record waits for others that are refused too."""
MISSING_TOPIC_MS = 5_000
"""How long a topic may be unknown to the broker before what is sent to it is refused."""
FLUSH_S = 0.5
FULL_S = 0.05
"""How long is waited for room in the client's queue, until it is looked at again."""


class KafkaProducer(ClosesProducer):
    """An idempotent producer: `send` waits until every record is acknowledged by all replicas.

    With `describe` (a topic, to the answer of what it is) it finds out while it waits whether a topic was made anew. A
    client that knows the one before may send to who led that, for ever: the new one counts its leaders from 0, and the
    client takes that for stale (librdkafka issue 4898). Only another client writes to it.
    """

    def __init__(
        self,
        base: Mapping[str, Any],
        settings: Settings,
        outages: Outages,
        describe: Callable[[str], Future[Any]] | None = None,
    ) -> None:
        self._prefix = settings.prefix
        self._describe = describe
        self._topics: dict[str, Incarnation] = {}
        self._told_after_s = settings.send_timeout_ms / 1_000
        self._outages = outages
        self._config = {
            **flushed_producer_config(base),
            "enable.idempotence": True,
            "topic.metadata.propagation.max.ms": MISSING_TOPIC_MS,
            # Never give up on one record while later ones of its partition succeed: that would be a gap.
            "message.timeout.ms": 0,
        }
        self._producer = ConfluentProducer(self._config)

    def send(self, records: Sequence[Outgoing]) -> None:
        """Produce and wait, as long as an outage lasts: the client goes on trying, in order and without repeats.

        Raises RecordsRefused for those that the broker never takes, when all others are written, SendFailed when
        patience is over or the worker is to stop, and TopicMadeAnew.
        """
        self._send(self._producer, records)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        """Send in batches of one record."""
        self._send(self._single_client(self._config), records)

    def _send(self, client: ConfluentProducer, records: Sequence[Outgoing]) -> None:
        topics = {record.topic for record in records}
        for topic in topics - self._topics.keys():
            describe = None if self._describe is None else partial(self._describe, topic)
            self._topics[topic] = Incarnation(cluster_name(self._prefix, topic), describe, self._outages.clock)
            # Which one it writes to is asked before it does, and heard when it is looked at again.
            self._topics[topic].look()
        with self._outages.waiting("acknowledgements") as wait:

            def go_on(missing: int) -> None:
                if wait.is_over(STOP_WAIT_S):
                    raise SendFailed(f"{missing} records were not acknowledged within {wait.lasted_s:.0f} s: is the"
                                     " broker up?")  # fmt: skip
                if wait.lasted_s >= self._told_after_s:
                    wait.failed(f"{missing} records are not acknowledged after {wait.lasted_s:.0f} s")
                    for topic in topics:
                        self._topics[topic].look()

            try:
                produce_and_wait(client, self._prefix, records, go_on)
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
            ends = produce_and_wait(
                producer, self._prefix, records, lambda missing: self._go_on(missing, wait), REFUSAL_WAIT_S
            )
            if group is not None:
                committed, metadata = topic_partitions(group.name, group.signed(offsets)), group.metadata
                self._step(
                    lambda: producer.send_offsets_to_transaction(committed, metadata, TRANSACTION_STEP_S),
                    wait,
                    self._timeout_s,
                )
        except Unanswered as problem:
            if producer is self._producer:
                self._abort(wait)
            if producer is self._producer:
                # It may know a topic from before that was made anew, and never reach the new one (see KafkaProducer).
                self._replace()
            raise Aborted(str(problem)) from problem
        except (SendFailed, Forbidden):
            self._abort(wait)
            raise
        except KafkaException as problem:
            if problem.args[0].txn_requires_abort():
                self._abort(wait)
            raise
        except ClusterFailed as problem:
            # Of a fatal error whose name the client lost, the abort raises the name.
            if is_nameless(problem.__cause__):
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
    producer: ConfluentProducer,
    prefix: str,
    records: Sequence[Outgoing],
    go_on: Callable[[int], None],
    refusal_wait_s: float | None = None,
) -> EndOffsets:
    """Produce the records and wait for each delivery report. Returns the end offsets, as far as the broker told them.

    `go_on` is called again and again with the number that is missing, and ends the wait by raising. When some are
    refused, the others are waited for `refusal_wait_s` at most (None: as long as ever). Raises RecordsRefused,
    SendFailed, Unanswered, Fenced or Forbidden too.
    """
    reports = DeliveryReports(prefix, records)
    for place in range(len(records)):
        _produce(producer, reports, place, go_on)
    refused_until_s = math.inf
    while reports.missing:
        try:
            flush(producer, FLUSH_S)
        except KafkaException as problem:
            # A producer that may write nothing at all fails as a whole.
            raise failure_of(problem.args[0], "producing") from problem
        reports.raise_failure()
        if reports.refused and refusal_wait_s is not None:
            refused_until_s = min(refused_until_s, time.monotonic() + refusal_wait_s)
            if time.monotonic() >= refused_until_s:
                break
        if reports.missing:
            go_on(reports.missing)
    reports.raise_failure()
    if reports.refused:
        raise RecordsRefused(reports.refused)
    return reports.ends()


def _produce(producer: ConfluentProducer, reports: DeliveryReports, place: int, go_on: Callable[[int], None]) -> None:
    """Hand a record to the client, when its queue has room. One that the client does not take is refused."""
    record, name = reports.records[place], reports.name(place)
    partition = PARTITION_BY_KEY if record.partition is None else record.partition
    take = partial(reports.take, place)
    while True:
        try:
            producer.produce(name, record.value, record.key, partition, headers=list(record.headers), on_delivery=take)
            return
        except BufferError:
            producer.poll(FULL_S)
            go_on(reports.missing)
        except KafkaException as problem:
            error: KafkaError = problem.args[0]
            if error.fatal() or error.code() == KafkaError._FATAL:
                raise failure_of(error, f"producing to {name}") from problem
            if error.code() == KafkaError._STATE:
                # Said by a transaction of which a record timed out: it takes no more until it is aborted.
                raise Unanswered(f"the transaction takes no more records: {error.str()}") from problem
            if not reports.refuse(place, error):
                raise forbidden(error, f"producing to {name}") or SendFailed(
                    f"cannot produce to {name}: {error.str()}"
                ) from problem
            return
        except UNWRITABLE as problem:
            reports.refuse_unwritable(place, problem)
            return
