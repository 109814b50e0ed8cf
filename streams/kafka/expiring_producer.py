"""A producer whose records lapse: what has not left this worker in time never does.

A worker may be stopped in the middle of sending, be taken for dead, and wake when another policy has been in force for
long. What it had handed to librdkafka by then is older than it may be, and is dropped instead of sent.

Records of one partition have one deadline, so that what was sent is always the beginning of what was to be sent: a
shard knows repeats by the highest position it has seen, and a gap in the middle would be lost.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as ConfluentProducer
from refrain.streams.errors import DeliveryExpired, SendFailed
from refrain.streams.kafka.authorization import forbidden
from refrain.streams.kafka.closing import ClosesProducer
from refrain.streams.kafka.interface import Outgoing, cluster_name
from refrain.streams.kafka.producer_config import producer_config

EXPIRED_CODES = frozenset({KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
FLUSH_S = 0.5
KEY_DECIDES = -1
"""For librdkafka: the partition that the key belongs to."""


class ExpiringProducer(ClosesProducer):
    """An idempotent producer that waits for acknowledgements, and gives up what is older than `delivery_timeout_ms`."""

    def __init__(self, base: Mapping[str, Any], prefix: str, delivery_timeout_ms: int, wait_s: float) -> None:
        self._prefix = prefix
        self._wait_s = wait_s
        self._producer = ConfluentProducer(
            {
                **producer_config(base),
                "enable.idempotence": True,
                "message.timeout.ms": delivery_timeout_ms,
                # A missing topic is said to be missing, before its records lapse.
                "topic.metadata.propagation.max.ms": delivery_timeout_ms // 2,
            }
        )

    def send(self, records: Sequence[Outgoing]) -> None:
        """Write and wait until each record is acknowledged.

        Raises DeliveryExpired when some were not written in time, and no more will be; SendFailed as every writer does.
        """
        reports = _Reports()
        places: dict[tuple[str, int], list[Outgoing]] = {}
        for record in records:
            partition = KEY_DECIDES if record.partition is None else record.partition
            places.setdefault((cluster_name(self._prefix, record.topic), partition), []).append(record)
        for (name, partition), group in places.items():
            self._hand_over(name, partition, group, reports)
        self._await(reports, len(records))

    def _hand_over(self, name: str, partition: int, group: Sequence[Outgoing], reports: _Reports) -> None:
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
                self._hand_over_together(name, partition, group, reports)
        except (BufferError, KafkaException) as problem:
            self._drop_queued()
            raise SendFailed(f"cannot produce to {name}: {problem}") from problem

    def _hand_over_together(self, name: str, partition: int, group: Sequence[Outgoing], reports: _Reports) -> None:
        """One call, one deadline. It takes no headers, which what goes to a shard has none of."""
        messages: list[dict[str, Any]] = [{"value": record.value, "key": record.key} for record in group]
        self._producer.produce_batch(name, messages, partition=partition, on_delivery=reports.take)
        for message in messages:
            if "_error" in message:
                self._drop_queued()
                raise SendFailed(f"cannot produce to {name}[{partition}]: {message['_error']}")

    def _drop_queued(self) -> None:
        # With nothing in it a queue is purged a little later: of what the next call hands over.
        if len(self._producer) > 0:
            self._producer.purge(in_flight=False)

    def _await(self, reports: _Reports, count: int) -> None:
        deadline = time.monotonic() + self._wait_s
        given_up = False
        while reports.count < count:
            try:
                self._producer.flush(FLUSH_S)
            except KafkaException as problem:
                # A producer that may write nothing at all fails as a whole.
                error: KafkaError = problem.args[0]
                raise forbidden(error, "producing") or SendFailed(f"cannot produce: {error.str()}") from problem
            if reports.failure is not None and not given_up:
                self._drop_queued()
                given_up = True
            if time.monotonic() > deadline:
                missing = count - reports.count
                raise SendFailed(
                    f"{missing} records were not acknowledged within {self._wait_s:.0f} s: is the broker up?"
                )
        if reports.failure is not None:
            error, place = reports.failure
            if error.code() in EXPIRED_CODES:
                raise DeliveryExpired(f"{place}: not written in time ({error.str()})")
            raise forbidden(error, f"producing to {place}") or SendFailed(f"{place} refused a record: {error.str()}")


class _Reports:
    """What became of the records of one call."""

    def __init__(self) -> None:
        self.count = 0
        self.failure: tuple[KafkaError, str] | None = None

    def take(self, error: KafkaError | None, message: Message) -> None:
        self.count += 1
        # A record that was refused says more than those that lapsed behind it.
        if error is not None and (self.failure is None or self.failure[0].code() in EXPIRED_CODES):
            self.failure = (error, f"{message.topic()}[{message.partition()}]")
