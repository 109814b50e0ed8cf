"""Producers of the real cluster, idempotent and transactional: both wait for every delivery report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.errors import Fenced, Forbidden, SendFailed
from refrain.streams.kafka.closing import ClosesProducer
from refrain.streams.kafka.config import ADMIN_TIMEOUT_S, flushed_producer_config
from refrain.streams.kafka.convert import KafkaGroupMetadata, int_of, topic_partitions
from refrain.streams.kafka.faults import FENCED_CODES, failure_of, flush, forbidden
from refrain.streams.kafka.interface import EndOffsets, GroupMetadata, OffsetAndMetadata, Outgoing, cluster_name
from refrain.streams.settings import Settings

TRANSACTION_STEP_S = 10.0
"""How long one call of a transaction may take before it is tried again."""
MISSING_TOPIC_MS = 5_000
"""How long a topic may be unknown to the broker before what is sent to it is refused."""


class KafkaProducer(ClosesProducer):
    """An idempotent producer: `send` waits until every record is acknowledged by all replicas."""

    def __init__(self, base: Mapping[str, Any], settings: Settings) -> None:
        self._prefix = settings.prefix
        self._wait_s = settings.send_timeout_ms / 1_000
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
        produce_and_wait(self._producer, self._prefix, records, self._wait_s)


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
            ends = produce_and_wait(producer, self._prefix, records, self._wait_s)
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
    producer: ConfluentProducer, prefix: str, records: Sequence[Outgoing], wait_s: float
) -> EndOffsets:
    """Produce the records and wait for each delivery report. Returns the end offsets.

    Raises SendFailed, Fenced or Forbidden.
    """
    delivered = 0
    reached: dict[tuple[str, int], int] = {}
    failure: list[tuple[KafkaError, str]] = []

    def reported(error: KafkaError | None, message: Message) -> None:
        nonlocal delivered
        delivered += 1
        if error is None:
            partition = (message.topic() or "", int_of(message.partition()))
            reached[partition] = max(reached.get(partition, 0), int_of(message.offset()) + 1)
        elif not failure:
            failure.append((error, f"{message.topic()}[{message.partition()}]"))

    deadline = time.monotonic() + wait_s
    for record in records:
        name = cluster_name(prefix, record.topic)
        while True:
            try:
                producer.produce(
                    name,
                    record.value,
                    record.key,
                    -1 if record.partition is None else record.partition,
                    headers=list(record.headers),
                    on_delivery=reported,
                )
                break
            except BufferError:
                producer.poll(0.05)
                if time.monotonic() > deadline:
                    raise SendFailed(f"the broker took no record for {wait_s:.0f} s: is it reachable?") from None
            except KafkaException as problem:
                error = problem.args[0]
                if error.fatal() or error.code() == KafkaError._FATAL:
                    raise failure_of(error, f"producing to {name}") from problem
                raise forbidden(error, f"producing to {name}") or SendFailed(
                    f"cannot produce to {name}: {error.str()}"
                ) from problem
    while delivered < len(records) and not failure:
        try:
            flush(producer, 0.5)
        except KafkaException as problem:
            # A producer that may write nothing at all fails as a whole.
            raise failure_of(problem.args[0], "producing") from problem
        if time.monotonic() > deadline:
            missing = len(records) - delivered
            raise SendFailed(f"{missing} records were not acknowledged within {wait_s:.0f} s: is the broker up?")
    if failure:
        error, where = failure[0]
        if error.code() in FENCED_CODES:
            raise Fenced(f"{where}: {error.str()}: another worker took over; start this one again")
        raise forbidden(error, f"producing to {where}") or SendFailed(f"{where} refused a record: {error.str()}")
    return {(topic.removeprefix(prefix), partition): end for (topic, partition), end in reached.items()}


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
