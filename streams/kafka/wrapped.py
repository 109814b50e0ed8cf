"""A cluster around another one: it passes everything on, and is the base of those that change a part of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from refrain.streams.kafka.interface import (
    Cluster,
    Consumer,
    Poster,
    Producer,
    Reader,
    RebalanceListener,
    Record,
    Span,
    Tail,
    Target,
    TransactionalProducer,
    Wanted,
)


class WrappedCluster:
    """Passes everything on to `inner`."""

    def __init__(self, inner: Cluster) -> None:
        self.inner = inner

    def producer(self, *, delivery_timeout_ms: int | None = None) -> Producer:
        return self.inner.producer(delivery_timeout_ms=delivery_timeout_ms)

    def transactional(self, name: str) -> TransactionalProducer:
        return self.inner.transactional(name)

    def consumer(
        self,
        topic: str,
        group: str,
        listener: RebalanceListener | None = None,
        *,
        from_start: bool = True,
        instance: str = "",
    ) -> Consumer:
        return self.inner.consumer(topic, group, listener, from_start=from_start, instance=instance)

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        return self.inner.scan(topic, partition, start, stop=stop)

    def sift(self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None = None) -> Iterator[Record]:
        return self.inner.sift(topic, spans, wanted)

    def reader(self, topic: str) -> Reader:
        return self.inner.reader(topic)

    def tail(self, places: Mapping[str, Collection[int] | None], name: str) -> Tail:
        return self.inner.tail(places, name)

    def poster(self, *, delivery_timeout_ms: int) -> Poster:
        return self.inner.poster(delivery_timeout_ms=delivery_timeout_ms)

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        return self.inner.ends(topic)

    def end(self, topic: str, partition: int) -> int:
        return self.inner.end(topic, partition)

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        return self.inner.offsets_at(topic, time_ms)

    def tombstones_ms(self, topic: str) -> int:
        return self.inner.tombstones_ms(topic)

    def targets(self, topics: Collection[str]) -> Mapping[str, Target]:
        return self.inner.targets(topics)

    def partitions(self, topic: str) -> int:
        return self.inner.partitions(topic)

    def topic_id(self, topic: str) -> str:
        return self.inner.topic_id(topic)
