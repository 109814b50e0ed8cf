"""A producer whose records expire: what is not delivered within its timeout is never written.

A worker may be stopped in the middle of sending, be taken for dead, and wake when another policy has been in force for
long. What it had handed to librdkafka by then is older than it may be, and is dropped instead of sent.

Records of one partition have one deadline, so that what was sent is always the beginning of what was to be sent: a
shard knows repeats by the highest offset it has seen, and a gap in the middle would be lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.errors import DeliveryExpired, SendFailed
from refrain.streams.kafka.closing import ClosesProducer
from refrain.streams.kafka.config import flushed_producer_config
from refrain.streams.kafka.faults import flush, forbidden
from refrain.streams.kafka.interface import Outgoing, cluster_name
from refrain.streams.kafka.outages import STOP_WAIT_S, Outages
from refrain.streams.kafka.producer import PARTITION_BY_KEY

EXPIRED_CODES = frozenset({KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
FLUSH_S = 0.5


class ExpiringProducer(ClosesProducer):
    """An idempotent producer that waits for acknowledgements and drops records older than `delivery_timeout_ms`."""

    def __init__(self, base: Mapping[str, Any], prefix: str, delivery_timeout_ms: int, outages: Outages) -> None:
        self._prefix = prefix
        self._outages = outages
        self._producer = ConfluentProducer(
            {
                **flushed_producer_config(base),
                "enable.idempotence": True,
                "message.timeout.ms": delivery_timeout_ms,
                # A missing topic is said to be missing, before its records expire.
                "topic.metadata.propagation.max.ms": delivery_timeout_ms // 2,
            }
        )

    def send(self, records: Sequence[Outgoing]) -> None:
        """Write and wait until each record is acknowledged.

        Raises DeliveryExpired when some were not written in time and never will be, SendFailed as every producer does.
        """
        reports = _DeliveryReports()
        by_partition: dict[tuple[str, int], list[Outgoing]] = {}
        for record in records:
            partition = PARTITION_BY_KEY if record.partition is None else record.partition
            by_partition.setdefault((cluster_name(self._prefix, record.topic), partition), []).append(record)
        for (name, partition), group in by_partition.items():
            self._produce(name, partition, group, reports)
        self._await_reports(reports, len(records))

    def _produce(self, name: str, partition: int, group: Sequence[Outgoing], reports: _DeliveryReports) -> None:
        try:
            if any(record.headers for record in group):
                for record in group:
                    self._producer.produce(
                        name,
                        record.value,
                        record.key,
                        partition,
                        headers=list(record.headers),
                        on_delivery=reports.take,
                    )
            else:
                self._produce_batch(name, partition, group, reports)
        except (BufferError, KafkaException) as problem:
            self._purge_queued()
            raise SendFailed(f"cannot produce to {name}: {problem}") from problem

    def _produce_batch(self, name: str, partition: int, group: Sequence[Outgoing], reports: _DeliveryReports) -> None:
        """Produce a group in one call, with one deadline. It takes no headers; a shard's records have none."""
        messages: list[dict[str, Any]] = [{"value": record.value, "key": record.key} for record in group]
        self._producer.produce_batch(name, messages, partition=partition, on_delivery=reports.take)
        for message in messages:
            if "_error" in message:
                self._purge_queued()
                raise SendFailed(f"cannot produce to {name}[{partition}]: {message['_error']}")

    def _purge_queued(self) -> None:
        # With nothing in it a queue is purged a little later: of what the next call hands over.
        if len(self._producer) > 0:
            self._producer.purge(in_flight=False)

    def _await_reports(self, reports: _DeliveryReports, count: int) -> None:
        purged = False
        with self._outages.waiting("acknowledgements") as wait:
            while reports.count < count:
                try:
                    flush(self._producer, FLUSH_S)
                except KafkaException as problem:
                    # A producer that may write nothing at all fails as a whole.
                    error: KafkaError = problem.args[0]
                    raise forbidden(error, "producing") or SendFailed(f"cannot produce: {error.str()}") from problem
                if reports.failure is not None and not purged:
                    self._purge_queued()
                    purged = True
                # All of them expire soon: a report is only late when the process stood still.
                if reports.count < count and wait.is_over(STOP_WAIT_S):
                    raise SendFailed(f"{count - reports.count} records were not acknowledged within"
                                     f" {wait.lasted_s:.0f} s: is the broker up?")  # fmt: skip
        if reports.failure is not None:
            error, where = reports.failure
            if error.code() in EXPIRED_CODES:
                raise DeliveryExpired(f"{where}: not written in time ({error.str()})")
            raise forbidden(error, f"producing to {where}") or SendFailed(f"{where} refused a record: {error.str()}")


class _DeliveryReports:
    """Delivery reports of the records of one call: how many came, and the failure to raise."""

    def __init__(self) -> None:
        self.count = 0
        self.failure: tuple[KafkaError, str] | None = None

    def take(self, error: KafkaError | None, message: Message) -> None:
        self.count += 1
        # A record that was refused says more than those that expired behind it.
        if error is not None and (self.failure is None or self.failure[0].code() in EXPIRED_CODES):
            self.failure = (error, f"{message.topic()}[{message.partition()}]")
