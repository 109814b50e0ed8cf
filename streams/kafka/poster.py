"""The poster of the real cluster: an idempotent producer whose user does not wait for acknowledgements."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.kafka.closing import ClosesProducer
from refrain.streams.kafka.config import producer_config
from refrain.streams.kafka.delivery import PARTITION_BY_KEY, UNWRITABLE
from refrain.streams.kafka.faults import EXPIRED_CODES
from refrain.streams.kafka.interface import Outgoing, cluster_name

RENEW_S = 10.0
"""A client is followed by another at the soonest after so long: while brokers are away each one's records expire."""


class KafkaPoster(ClosesProducer):
    """Hands records to the client, and calls back for those that were not written. `clock` gives seconds."""

    def __init__(
        self,
        base: Mapping[str, Any],
        prefix: str,
        delivery_timeout_ms: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = prefix
        self._clock = clock
        self._config = {**producer_config(base), "enable.idempotence": True, "message.timeout.ms": delivery_timeout_ms}
        self._lock = threading.Lock()
        self._producer = ConfluentProducer(self._config)
        self._made_s = clock()
        self._replaced: list[ConfluentProducer] = []
        """Clients before this one that have records on their way."""

    def post(self, record: Outgoing, failed: Callable[[str], None]) -> None:
        with self._lock:
            producer = self._producer

        def reported(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                if error.code() in EXPIRED_CODES:
                    self._renew(producer)
                failed(error.str())

        partition = PARTITION_BY_KEY if record.partition is None else record.partition
        try:
            producer.produce(
                cluster_name(self._prefix, record.topic),
                record.value,
                record.key,
                partition,
                headers=list(record.headers),
                on_delivery=reported,
            )
        except BufferError:
            failed("more is on its way to the broker than the client holds")
        except KafkaException as problem:
            failed(problem.args[0].str())
        except UNWRITABLE as problem:
            failed(f"it cannot be written: {type(problem).__name__}")

    def poll(self) -> None:
        with self._lock:
            self._replaced = [client for client in self._replaced if len(client) > 0]
            clients = [self._producer, *self._replaced]
        for client in clients:
            client.poll(0)

    def _renew(self, expired: ConfluentProducer) -> None:
        """Write by a new client from now on, where records of this one expired.

        A client that knows a topic from before it was made anew may send to who led it then, for ever: the new one
        counts its leaders from 0, and the client takes that for stale (librdkafka issue 4898).
        """
        with self._lock:
            if self._closed or expired is not self._producer or self._clock() - self._made_s < RENEW_S:
                return
            self._replaced.append(expired)
            self._producer, self._made_s = ConfluentProducer(self._config), self._clock()
