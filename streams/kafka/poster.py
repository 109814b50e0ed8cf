"""The poster of the real cluster: an idempotent producer whose user does not wait for acknowledgements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as ConfluentProducer

from refrain.streams.kafka.closing import ClosesProducer
from refrain.streams.kafka.config import producer_config
from refrain.streams.kafka.delivery import PARTITION_BY_KEY, UNWRITABLE
from refrain.streams.kafka.interface import Outgoing, cluster_name


class KafkaPoster(ClosesProducer):
    """Hands records to the client, and calls back for those that were not written."""

    def __init__(self, base: Mapping[str, Any], prefix: str, delivery_timeout_ms: int) -> None:
        self._prefix = prefix
        self._producer = ConfluentProducer(
            {**producer_config(base), "enable.idempotence": True, "message.timeout.ms": delivery_timeout_ms}
        )

    def post(self, record: Outgoing, failed: Callable[[str], None]) -> None:
        def reported(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failed(error.str())

        partition = PARTITION_BY_KEY if record.partition is None else record.partition
        try:
            self._producer.produce(
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
        self._producer.poll(0)
