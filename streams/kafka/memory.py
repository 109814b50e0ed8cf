"""The cluster's in-memory twin: the same promises in one process, for tests and for folding recorded traffic.

Time comes from the caller; a group has one member at a time (a second one takes over and fences the first).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from refrain.schemas.topics import BY_NAME
from refrain.streams.kafka.interface import RebalanceListener, Record, Span, Target, Wanted
from refrain.streams.kafka.memory_clients import (
    MemoryConsumer,
    MemoryPoster,
    MemoryProducer,
    MemoryReader,
    MemoryTail,
    MemoryTransactionalProducer,
)
from refrain.streams.kafka.memory_log import MemoryLog


class MemoryCluster(MemoryLog):
    """A cluster in memory: who connects to it, and what it is asked."""

    def producer(self, *, delivery_timeout_ms: int | None = None) -> MemoryProducer:
        return MemoryProducer(self)

    def transactional(self, name: str) -> MemoryTransactionalProducer:
        return MemoryTransactionalProducer(self, name)

    def consumer(
        self,
        topic: str,
        group: str,
        listener: RebalanceListener | None = None,
        *,
        from_start: bool = True,
        instance: str = "",
    ) -> MemoryConsumer:
        return MemoryConsumer(self, topic, group, listener, from_start)

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        first = self.topic(topic).first.get(partition, 0)
        for record in list(self.topic(topic).records[partition])[max(start, first) :]:
            if stop():
                return
            yield record

    def sift(self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None = None) -> Iterator[Record]:
        rows = self.topic(topic).records
        for partition, span in spans.items():
            for record in rows[partition][span.start : span.end]:
                if wanted is None or wanted(record.key, record.value):
                    yield record

    def reader(self, topic: str) -> MemoryReader:
        return MemoryReader(self, topic)

    def tail(self, places: Mapping[str, Collection[int] | None], name: str) -> MemoryTail:
        return MemoryTail(self, places)

    def poster(self, *, delivery_timeout_ms: int) -> MemoryPoster:
        return MemoryPoster(self)

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        return {
            number: sum(record.timestamp_ms < time_ms for record in records)
            for number, records in enumerate(self.topic(topic).records)
        }

    def tombstones_ms(self, topic: str) -> int:
        known = BY_NAME.get(topic)
        return known.tombstones_ms or 0 if known else 0

    def targets(self, topics: Collection[str]) -> dict[str, Target]:
        there = {name: self._topics[name] for name in topics if name in self._topics}
        return {name: Target(len(topic.records), topic.max_bytes, topic.compacted) for name, topic in there.items()}
