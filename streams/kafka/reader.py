"""The reader of the real cluster: seeks a partition and reads a few committed records there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import Message, TopicPartition

from refrain.streams.errors import Unanswered
from refrain.streams.kafka.config import ADMIN_TIMEOUT_S
from refrain.streams.kafka.convert import record_of
from refrain.streams.kafka.faults import raise_unless_recovering
from refrain.streams.kafka.interface import Record, cluster_name
from refrain.streams.kafka.passing import Passing, is_end
from refrain.streams.kafka.raw_fetch import Fetch
from refrain.streams.settings import Settings

NO_GROUP = "scan"
"""A consumer must name a group, also one that joins none."""
FETCH_BYTES = 65_536
"""What the broker sends for one place; a larger record comes whole."""
POLL_S = 0.1


class KafkaReader:
    """Reads a topic at any offset: one consumer, which is assigned to each place in turn.

    In place of a batch that nobody can read it gives a record with a `flaw`; `fetch` looks at such batches.
    """

    def __init__(self, base: Mapping[str, Any], settings: Settings, topic: str, fetch: Fetch) -> None:
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
        self._passing = Passing(self._consumer, {self._name: topic}, fetch)

    def read(self, partition: int, start: int, max_records: int) -> list[Record]:
        self._consumer.assign([TopicPartition(self._name, partition, start)])
        self._passing.begin((self._name, partition), start)
        until = time.monotonic() + ADMIN_TIMEOUT_S
        while time.monotonic() < until:
            heard = self._passing.hear(self._polled(max_records))
            if not heard.flawed and any(is_end(message) for message in heard.messages[:1]):
                return []
            records = [record_of(self._topic, each) for each in heard.messages if self._is_record(each, partition)]
            records += heard.flawed
            if records:
                return [record for record in records if record.offset >= start][:max_records]
        raise Unanswered(f"cannot read {self._name}[{partition}]: the broker has not answered in time")

    def close(self) -> None:
        self._consumer.close()

    def _polled(self, max_records: int) -> list[Message]:
        """Messages of the place that is assigned, as far as they are there at once."""
        first = self._consumer.poll(POLL_S)
        if first is None:
            return []
        return [first, *(self._consumer.consume(max_records - 1, 0) if max_records > 1 else ())]

    def _is_record(self, message: Message, partition: int) -> bool:
        """Whether it is a record, and no end. Raises what the client does not recover from."""
        error = message.error()
        if error is not None and not is_end(message):
            raise_unless_recovering(error, f"reading {self._name}[{partition}]")
        return error is None
