"""Reads partitions on and on, in no group, from offsets on: for the tail of responses, and for who watches a topic."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from refrain.streams.errors import ClusterFailed, WrongSetup
from refrain.streams.kafka.faults import forbidden
from refrain.streams.kafka.incarnation import Incarnation, TopicMadeAnew, partition_gone
from refrain.streams.kafka.interface import cluster_name
from refrain.streams.kafka.passing import Heard, assigned
from refrain.streams.kafka.raw_fetch import Fetch

logger = logging.getLogger(__name__)


class Following:
    """Reads partitions from the offsets of `starts` on, by topic and partition, by a client that `make` makes.

    While brokers are away it gives nothing, and goes on behind its last record when they are back. Batches that nobody
    can read come as such; `fetch` looks at them. A topic that is deleted and made anew is read from its first record:
    the client tells nothing of it, and reads on where it was, if it reads at all.
    """

    def __init__(
        self,
        make: Callable[[], Consumer],
        prefix: str,
        starts: Mapping[tuple[str, int], int],
        fetch: Fetch,
        *,
        of_all: Collection[str] = (),
        describe: Callable[[str], Future[Any]] | None = None,
        partitions: Callable[[str], int] | None = None,
        anew: Callable[[Collection[int]], None] = lambda partitions: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`of_all` are the topics that are read in all their partitions, however many they have.

        `describe` asks which topic is there, `partitions` how many it has; `anew` hears which of one that was made anew
        are read.
        """
        self._make = make
        self._prefix = prefix
        self._topics = {cluster_name(prefix, topic): topic for topic, _ in starts}
        self._starts = dict(starts)
        self._fetch = fetch
        self._of_all = frozenset(of_all)
        self._describe = describe
        self._partitions = partitions
        self._anew = anew
        self._clock = clock
        self._incarnations = {topic: self._incarnation(topic) for topic in self._topics.values()}
        self._closed = False
        self._told: set[int] = set()
        self._open()

    def poll(self, max_records: int, timeout_s: float) -> Heard:
        """Wait up to `timeout_s` for the first message, then take what is there at once: records, and ends.

        Raises Forbidden, and ClusterFailed where one of the partitions is not there any more.
        """
        self._look()
        first = self._consumer.poll(timeout_s)
        messages = [] if first is None else [first]
        if messages and max_records > 1:
            messages += self._consumer.consume(max_records - 1, 0)
        heard = self._passing.hear(messages)
        return heard._replace(messages=[message for message in heard.messages if self._is_told(message.error())])

    def topic_of(self, name: str | None) -> str:
        """The topic of the table, or as it was asked for, by its name on the cluster."""
        return self._topics.get(name or "", "")

    def lag(self) -> dict[tuple[str, int], int]:
        """Records not read yet, as far as is known without a question."""
        return {(self._topics[name], number): records for (name, number), records in self._passing.lag().items()}

    def close(self) -> None:
        """Give the connection back; twice is once."""
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _open(self) -> None:
        self._consumer = self._make()
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
        name = cluster_name(self._prefix, topic)
        try:
            count = 0 if self._partitions is None else self._partitions(topic)
        except (ClusterFailed, WrongSetup) as problem:
            # It is on its way, or nobody tells; the next look finds it.
            logger.debug("the new topic %s is not read yet: %s", name, problem)
            return
        logger.warning("topic %s was deleted and made anew: it is read from its first record", name)
        mine = [number for known, number in self._starts if known == topic]
        if topic in self._of_all:
            mine = list(range(count))
        for number in mine:
            if number >= count:
                raise partition_gone(name, number, count)
        others = {place: at for place, at in self._starts.items() if place[0] != topic}
        known = self._passing.positions((cluster_name(self._prefix, other), number) for other, number in others)
        others = {
            (other, number): known.get((cluster_name(self._prefix, other), number), at)
            for (other, number), at in others.items()
        }
        self._starts = {**others, **{(topic, number): 0 for number in mine}}
        self._incarnations[topic] = self._incarnation(topic)
        # A new client: the one that knew the topic before may take what is told of the new one for stale.
        self._consumer.close()
        self._open()
        self._anew(mine)

    def _is_told(self, error: KafkaError | None) -> bool:
        """Whether a message is a record or the end of a partition. Raises Forbidden; any other error is logged once."""
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return True
        denied = forbidden(error, f"reading {', '.join(self._topics)}")
        if denied is not None:
            raise denied
        if error.code() not in self._told:
            self._told.add(error.code())
            logger.info("reading %s waits: %s", ", ".join(self._topics), error.str())
        return False
