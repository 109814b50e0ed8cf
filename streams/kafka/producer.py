"""Producers of the real cluster, idempotent and transactional: both wait for every delivery report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.errors import Forbidden, RecordsRefused, SendFailed
from refrain.streams.kafka.closing import ClosesProducer
from refrain.streams.kafka.config import ADMIN_TIMEOUT_S, flushed_producer_config
from refrain.streams.kafka.convert import KafkaGroupMetadata, topic_partitions
from refrain.streams.kafka.delivery import PARTITION_BY_KEY, UNWRITABLE, DeliveryReports
from refrain.streams.kafka.faults import failure_of, flush, forbidden
from refrain.streams.kafka.interface import EndOffsets, GroupMetadata, OffsetAndMetadata, Outgoing
from refrain.streams.settings import Settings

TRANSACTION_STEP_S = 10.0
"""How long one call of a transaction may take before it is tried again."""
REFUSAL_WAIT_S = 2.0
"""How long a transaction that is aborted for a refused record waits for others that are refused too."""
FLUSH_S = 0.5
MISSING_TOPIC_MS = 5_000
"""How long a topic may be unknown to the broker before what is sent to it is refused."""


class KafkaProducer(ClosesProducer):
    """An idempotent producer: `send` waits until every record is acknowledged by all replicas."""

    def __init__(self, base: Mapping[str, Any], settings: Settings) -> None:
        self._prefix = settings.prefix
        self._wait_s = settings.send_timeout_ms / 1_000
        self._config = {
            **flushed_producer_config(base),
            "enable.idempotence": True,
            "topic.metadata.propagation.max.ms": MISSING_TOPIC_MS,
            # Never give up on one record while later ones of its partition succeed: that would be a gap.
            "message.timeout.ms": 0,
        }
        self._producer = ConfluentProducer(self._config)

    def send(self, records: Sequence[Outgoing]) -> None:
        produce_and_wait(self._producer, self._prefix, records, self._wait_s)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        produce_and_wait(self._single_client(self._config), self._prefix, records, self._wait_s)


class KafkaTransactionalProducer(ClosesProducer):
    """A transactional producer; its first transaction initialises it and so fences others of its transactional id."""

    def __init__(self, base: Mapping[str, Any], settings: Settings, name: str) -> None:
        self._prefix = settings.prefix
        self._wait_s = settings.transaction_timeout_ms / 1_000
        self._ready = False
        self._producer = ConfluentProducer(
            {
                **flushed_producer_config(base),
                "transactional.id": name,
                "transaction.timeout.ms": settings.transaction_timeout_ms,
                "message.timeout.ms": settings.transaction_timeout_ms,
                "topic.metadata.propagation.max.ms": MISSING_TOPIC_MS,
            }
        )

    def transact(
        self, records: Sequence[Outgoing], member: GroupMetadata | None, offsets: Mapping[int, OffsetAndMetadata]
    ) -> EndOffsets:
        producer = self._producer
        group = cast(KafkaGroupMetadata, member) if member is not None and offsets else None
        try:
            if not self._ready:
                retry_transactional(lambda: producer.init_transactions(ADMIN_TIMEOUT_S))
                self._ready = True
            producer.begin_transaction()
        except KafkaException as problem:
            raise failure_of(problem.args[0], "beginning a transaction") from problem
        try:
            ends = produce_and_wait(producer, self._prefix, records, self._wait_s, REFUSAL_WAIT_S)
            if group is not None:
                committed, metadata = topic_partitions(group.name, offsets), group.metadata
                retry_transactional(
                    lambda: producer.send_offsets_to_transaction(committed, metadata, TRANSACTION_STEP_S)
                )
            retry_transactional(lambda: producer.commit_transaction(TRANSACTION_STEP_S))
        except (SendFailed, Forbidden):
            self._abort()
            raise
        except KafkaException as problem:
            error: KafkaError = problem.args[0]
            if error.txn_requires_abort():
                self._abort()
            raise failure_of(error, "committing a transaction") from problem
        return ends

    def _abort(self) -> None:
        try:
            retry_transactional(lambda: self._producer.abort_transaction(TRANSACTION_STEP_S))
        except KafkaException as problem:
            raise failure_of(problem.args[0], "aborting a transaction") from problem


def produce_and_wait(
    producer: ConfluentProducer,
    prefix: str,
    records: Sequence[Outgoing],
    wait_s: float,
    refusal_wait_s: float | None = None,
) -> EndOffsets:
    """Produce the records and wait for each delivery report. Returns the end offsets.

    When some are refused, the others are waited for `refusal_wait_s` at most (None: as long as ever). Raises
    RecordsRefused, SendFailed, Fenced or Forbidden.
    """
    reports = DeliveryReports(prefix, records)
    deadline = time.monotonic() + wait_s
    for place in range(len(records)):
        _produce(producer, reports, place, deadline, wait_s)
    while reports.missing:
        try:
            flush(producer, FLUSH_S)
        except KafkaException as problem:
            # A producer that may write nothing at all fails as a whole.
            raise failure_of(problem.args[0], "producing") from problem
        reports.raise_failure()
        if reports.refused and refusal_wait_s is not None:
            deadline = min(deadline, time.monotonic() + refusal_wait_s)
            refusal_wait_s = None
        if reports.missing and time.monotonic() > deadline:
            if reports.refused:
                break
            raise SendFailed(
                f"{reports.missing} records were not acknowledged within {wait_s:.0f} s: is the broker up?"
            )
    reports.raise_failure()
    if reports.refused:
        raise RecordsRefused(reports.refused)
    return reports.ends()


def _produce(producer: ConfluentProducer, reports: DeliveryReports, place: int, deadline: float, wait_s: float) -> None:
    """Hand a record to the client, when its queue has room. One that the client does not take is refused."""
    record, name = reports.records[place], reports.name(place)
    partition = PARTITION_BY_KEY if record.partition is None else record.partition
    take = partial(reports.take, place)
    while True:
        try:
            producer.produce(name, record.value, record.key, partition, headers=list(record.headers), on_delivery=take)
            return
        except BufferError:
            producer.poll(0.05)
            if time.monotonic() > deadline:
                raise SendFailed(f"the broker took no record for {wait_s:.0f} s: is it reachable?") from None
        except KafkaException as problem:
            error: KafkaError = problem.args[0]
            if error.fatal() or error.code() == KafkaError._FATAL:
                raise failure_of(error, f"producing to {name}") from problem
            if not reports.refuse(place, error):
                raise forbidden(error, f"producing to {name}") or SendFailed(
                    f"cannot produce to {name}: {error.str()}"
                ) from problem
            return
        except UNWRITABLE as problem:
            reports.refuse_unwritable(place, problem)
            return


def retry_transactional(step: Callable[[], Any], attempts: int = 20) -> None:
    """Retry a transactional call while librdkafka calls its error retriable. Raises the KafkaException otherwise."""
    for attempt in range(attempts):
        try:
            step()
            return
        except KafkaException as problem:
            error: KafkaError = problem.args[0]
            if not error.retriable() or error.txn_requires_abort() or attempt == attempts - 1:
                raise
            time.sleep(0.02)
