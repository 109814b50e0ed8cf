"""The tail of the real cluster: reads what is appended to partitions from an offset on, in no group."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import KafkaError, TopicPartition

from refrain.streams.kafka.convert import record_of
from refrain.streams.kafka.faults import forbidden
from refrain.streams.kafka.interface import Record, cluster_name
from refrain.streams.kafka.passing import assigned
from refrain.streams.kafka.raw_fetch import Fetch

logger = logging.getLogger(__name__)


class KafkaTail:
    """Reads partitions from the offsets of `starts` on, by topic and partition.

    While brokers are away it gives nothing, and goes on behind its last record when they are back. In place of a batch
    that nobody can read it gives a record with a `flaw`; `fetch` looks at such batches.
    """

    def __init__(
        self, base: Mapping[str, Any], prefix: str, starts: Mapping[tuple[str, int], int], name: str, fetch: Fetch
    ) -> None:
        self._topics = {cluster_name(prefix, topic): topic for topic, _ in starts}
        self._closed = False
        self._told: set[int] = set()
        self._consumer = ConfluentConsumer(
            {
                **base,
                # Named because a consumer must name one; it joins none.
                "group.id": prefix + name,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": 50,
                "fetch.error.backoff.ms": 20,
            }
        )
        places = [TopicPartition(cluster_name(prefix, topic), number, at) for (topic, number), at in starts.items()]
        self._passing = assigned(self._consumer, self._topics, fetch, places)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        first = self._consumer.poll(timeout_s)
        messages = [] if first is None else [first]
        if messages and max_records > 1:
            messages += self._consumer.consume(max_records - 1, 0)
        heard = self._passing.hear(messages)
        records = []
        for message in heard.messages:
            error = message.error()
            if error is None:
                records.append(record_of(self._topics.get(message.topic() or "", ""), message))
            else:
                self._tell(error)
        return [*records, *heard.flawed]

    def lag(self) -> dict[tuple[str, int], int]:
        return {(self._topics[name], number): records for (name, number), records in self._passing.lag().items()}

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _tell(self, error: KafkaError) -> None:
        """Raise for what no waiting mends; log anything else once. Raises Forbidden."""
        denied = forbidden(error, f"reading {', '.join(self._topics)}")
        if denied is not None:
            raise denied
        if error.code() not in self._told:
            self._told.add(error.code())
            logger.info("reading %s waits: %s", ", ".join(self._topics), error.str())
