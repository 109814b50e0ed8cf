"""The tail of the real cluster: reads what is appended to partitions from an offset on, in no group."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import KafkaError, TopicPartition

from refrain.streams.errors import ClusterFailed, WrongSetup
from refrain.streams.kafka.convert import record_of
from refrain.streams.kafka.faults import forbidden
from refrain.streams.kafka.incarnation import Incarnation, TopicMadeAnew, partition_gone
from refrain.streams.kafka.interface import Record, cluster_name
from refrain.streams.kafka.passing import assigned
from refrain.streams.kafka.raw_fetch import Fetch

logger = logging.getLogger(__name__)


class KafkaTail:
    """Reads partitions from the offsets of `starts` on, by topic and partition.

    While brokers are away it gives nothing, and goes on behind its last record when they are back. In place of a batch
    that nobody can read it gives a record with a `flaw`; `fetch` looks at such batches. A topic that is deleted and
    made anew is read from its first record: `describe` asks which one is there, `partitions` how many it has.
    """

    def __init__(
        self,
        base: Mapping[str, Any],
        prefix: str,
        starts: Mapping[tuple[str, int], int],
        name: str,
        fetch: Fetch,
        *,
        of_all: Collection[str] = (),
        describe: Callable[[str], Future[Any]] | None = None,
        partitions: Callable[[str], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`of_all` are the topics that are read in all their partitions, however many they have."""
        self._prefix = prefix
        self._topics = {cluster_name(prefix, topic): topic for topic, _ in starts}
        self._starts = dict(starts)
        self._fetch = fetch
        self._of_all = frozenset(of_all)
        self._describe = describe
        self._partitions = partitions
        self._clock = clock
        self._incarnations = {topic: self._incarnation(topic) for topic in self._topics.values()}
        self._closed = False
        self._told: set[int] = set()
        self._config = {
            **base,
            # Named because a consumer must name one; it joins none.
            "group.id": prefix + name,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "latest",
            "fetch.wait.max.ms": 50,
            "fetch.error.backoff.ms": 20,
        }
        self._open()

    def _open(self) -> None:
        self._consumer = ConfluentConsumer(self._config)
        places = [
            TopicPartition(cluster_name(self._prefix, topic), number, at)
            for (topic, number), at in self._starts.items()
        ]
        self._passing = assigned(self._consumer, self._topics, self._fetch, places)

    def _incarnation(self, topic: str) -> Incarnation:
        describe = self._describe
        asks = None if describe is None else lambda: describe(topic)
        return Incarnation(cluster_name(self._prefix, topic), asks, self._clock)

    def _look(self) -> None:
        """Begin anew with topics that were made anew. Raises ClusterFailed where a partition is not there."""
        for topic, incarnation in self._incarnations.items():
            try:
                incarnation.look()
            except TopicMadeAnew:
                self._begin_anew(topic)

    def _begin_anew(self, topic: str) -> None:
        try:
            count = 0 if self._partitions is None else self._partitions(topic)
        except (ClusterFailed, WrongSetup) as problem:
            # It is on its way, or nobody tells; the next look finds it.
            logger.debug("the new topic %s is not read yet: %s", topic, problem)
            return
        logger.warning("topic %s was deleted and made anew: it is read from its first record", topic)
        mine = [number for name, number in self._starts if name == topic]
        if topic in self._of_all:
            mine = list(range(count))
        for number in mine:
            if number >= count:
                raise partition_gone(cluster_name(self._prefix, topic), number, count)
        others = {place: at for place, at in self._starts.items() if place[0] != topic}
        known = self._passing.positions((cluster_name(self._prefix, name), number) for name, number in others)
        others = {
            (name, number): known.get((cluster_name(self._prefix, name), number), at)
            for (name, number), at in others.items()
        }
        self._starts = {**others, **{(topic, number): 0 for number in mine}}
        self._incarnations[topic] = self._incarnation(topic)
        # A new client: the one that knew the topic before may take what is told of the new one for stale.
        self._consumer.close()
        self._open()

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self._look()
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
