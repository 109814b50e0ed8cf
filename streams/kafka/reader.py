"""The reader of the real cluster: seeks a partition and reads a few committed records there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import KafkaError, Message, TopicPartition

from refrain.streams.errors import Unanswered
from refrain.streams.kafka.config import ADMIN_TIMEOUT_S
from refrain.streams.kafka.convert import record_of
from refrain.streams.kafka.faults import raise_unless_recovering
from refrain.streams.kafka.interface import Record, cluster_name
from refrain.streams.settings import Settings

NO_GROUP = "scan"
"""A consumer must name a group, also one that joins none."""
FETCH_BYTES = 65_536
"""What the broker sends for one place; a larger record comes whole."""
POLL_S = 0.5


class KafkaReader:
    """Reads a topic at any offset: one consumer, which is assigned to each place in turn."""

    def __init__(self, base: Mapping[str, Any], settings: Settings, topic: str) -> None:
        self._topic = topic
        self._name = cluster_name(settings.prefix, topic)
        self._consumer = ConfluentConsumer(
            {
                **base,
                "group.id": settings.prefix + NO_GROUP,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                # What retention took away meanwhile was before what is read.
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
                "fetch.message.max.bytes": FETCH_BYTES,
                "queued.min.messages": 1,
                # What was fetched for one place fills that queue: the next place must not wait for its second.
                "fetch.queue.backoff.ms": 1,
            }
        )

    def read(self, partition: int, start: int, max_records: int) -> list[Record]:
        self._consumer.assign([TopicPartition(self._name, partition, start)])
        first = self._first(partition)
        if first is None:
            return []
        messages = [first, *(self._consumer.consume(max_records - 1, 0) if max_records > 1 else ())]
        records = [record_of(self._topic, message) for message in messages if message.error() is None]
        return [record for record in records if record.offset >= start]

    def close(self) -> None:
        self._consumer.close()

    def _first(self, partition: int) -> Message | None:
        """The first record of the place that is assigned; None at the end of the partition."""
        until = time.monotonic() + ADMIN_TIMEOUT_S
        while time.monotonic() < until:
            message = self._consumer.poll(POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is None:
                return message
            if error.code() == KafkaError._PARTITION_EOF:
                return None
            raise_unless_recovering(error, f"reading {self._name}[{partition}]")
        raise Unanswered(f"cannot read {self._name}[{partition}]: the broker has not answered in time")
