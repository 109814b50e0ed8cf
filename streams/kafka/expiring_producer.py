"""A producer whose records expire: what is not delivered within its timeout is never written.

A worker may be stopped in the middle of sending, be taken for dead, and wake when another policy has been in force for
long. What it had handed to librdkafka by then is older than it may be, and is dropped instead of sent.

Records of one partition have one deadline, so that what was sent is always the beginning of what was to be sent: a
shard knows repeats by the highest offset it has seen, and a gap in the middle would be lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.errors import DeliveryExpired, RecordsRefused, SendFailed, Unanswered
from refrain.streams.kafka.closing import ClosesProducer
from refrain.streams.kafka.config import flushed_producer_config
from refrain.streams.kafka.delivery import PARTITION_BY_KEY, UNWRITABLE, DeliveryReports
from refrain.streams.kafka.faults import EXPIRED_CODES, flush, forbidden
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.outages import STOP_WAIT_S, Outages

FLUSH_S = 0.5


class ExpiringProducer(ClosesProducer):
    """An idempotent producer that waits for acknowledgements and drops records older than `delivery_timeout_ms`."""

    def __init__(self, base: Mapping[str, Any], prefix: str, delivery_timeout_ms: int, outages: Outages) -> None:
        self._prefix = prefix
        self._outages = outages
        self._config = {
            **flushed_producer_config(base),
            "enable.idempotence": True,
            "message.timeout.ms": delivery_timeout_ms,
            # A missing topic is said to be missing, before its records expire.
            "topic.metadata.propagation.max.ms": delivery_timeout_ms // 2,
        }
        self._producer = ConfluentProducer(self._config)

    def send(self, records: Sequence[Outgoing]) -> None:
        """Write and wait until each record is acknowledged.

        Raises DeliveryExpired when some were not written in time and never will be, RecordsRefused and SendFailed as
        every producer does.
        """
        self._send(self._producer, records)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        self._send(self._single_client(self._config), records)

    def _begin_again(self) -> None:
        """Write by new clients from now on, once records have expired: nothing is on its way then.

        A client that knows a topic from before it was made anew may send to who led it then, for ever: the new one
        counts its leaders from 0, and the client takes that for stale (librdkafka issue 4898).
        """
        self._producer = ConfluentProducer(self._config)
        self._singles = None

    def _send(self, client: ConfluentProducer, records: Sequence[Outgoing]) -> None:
        reports = DeliveryReports(self._prefix, records)
        by_partition: dict[tuple[str, int], list[int]] = {}
        for place, record in enumerate(records):
            partition = PARTITION_BY_KEY if record.partition is None else record.partition
            by_partition.setdefault((reports.name(place), partition), []).append(place)
        for (name, partition), places in by_partition.items():
            _produce(client, name, partition, places, reports)
        self._await_reports(client, reports)

    def _await_reports(self, client: ConfluentProducer, reports: DeliveryReports) -> None:
        purged = False
        with self._outages.waiting("acknowledgements") as wait:
            while reports.missing:
                try:
                    flush(client, FLUSH_S)
                except KafkaException as problem:
                    # A producer that may write nothing at all fails as a whole.
                    error: KafkaError = problem.args[0]
                    raise forbidden(error, "producing") or SendFailed(f"cannot produce: {error.str()}") from problem
                if reports.failure is not None and not purged:
                    _purge_queued(client)
                    purged = True
                # All of them expire soon: a report is only late when the process stood still.
                if reports.missing and wait.is_over(STOP_WAIT_S):
                    raise SendFailed(f"{reports.missing} records were not acknowledged within"
                                     f" {wait.lasted_s:.0f} s: is the broker up?")  # fmt: skip
        if reports.failure is not None:
            error, where = reports.failure
            if error.code() in EXPIRED_CODES:
                self._begin_again()
                raise DeliveryExpired(f"{where}: not written in time ({error.str()})")
            try:
                reports.raise_failure()
            except Unanswered as problem:
                raise SendFailed(str(problem)) from problem
        if reports.refused:
            raise RecordsRefused(reports.refused)


def _produce(
    client: ConfluentProducer, name: str, partition: int, places: Sequence[int], reports: DeliveryReports
) -> None:
    """Hand the records of one partition to the client. Those that it does not take by themselves are refused."""
    try:
        if any(reports.records[place].headers for place in places):
            for place in places:
                _produce_one(client, name, partition, place, reports)
        else:
            _produce_batch(client, name, partition, places, reports)
    except (BufferError, KafkaException) as problem:
        _purge_queued(client)
        raise SendFailed(f"cannot produce to {name}: {problem}") from problem


def _produce_one(client: ConfluentProducer, name: str, partition: int, place: int, reports: DeliveryReports) -> None:
    record = reports.records[place]
    take = partial(reports.take, place)
    try:
        client.produce(name, record.value, record.key, partition, headers=list(record.headers), on_delivery=take)
    except KafkaException as problem:
        if not reports.refuse(place, problem.args[0]):
            raise
    except UNWRITABLE as problem:
        reports.refuse_unwritable(place, problem)


def _produce_batch(
    client: ConfluentProducer, name: str, partition: int, places: Sequence[int], reports: DeliveryReports
) -> None:
    """Produce a group in one call, with one deadline. It takes no headers; a shard's records have none."""
    messages: list[dict[str, Any]] = [
        {
            "value": reports.records[place].value,
            "key": reports.records[place].key,
            "callback": partial(reports.take, place),
        }
        for place in places
    ]
    client.produce_batch(name, messages, partition=partition)
    for place, message in zip(places, messages, strict=True):
        error = message.get("_error")
        if error is not None and not reports.refuse(place, error):
            raise KafkaException(error)


def _purge_queued(client: ConfluentProducer) -> None:
    # With nothing in it a queue is purged a little later: of what the next call hands over.
    if len(client) > 0:
        client.purge(in_flight=False)
