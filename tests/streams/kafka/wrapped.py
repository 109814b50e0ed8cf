"""A log whose producers are wrapped, around any other log: to fail, to wait, or to be watched."""

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
    """Passes all on; `producer` and `transactional` make of each new producer what its owner gets."""

    def __init__(
        self,
        inner: Cluster,
        *,
        producer: Callable[[Producer], Producer] = lambda inner: inner,
        transactional: Callable[[TransactionalProducer], TransactionalProducer] = lambda inner: inner,
    ) -> None:
        self._inner = inner
        self._producer = producer
        self._transactional = transactional

    def producer(self, *, delivery_timeout_ms: int | None = None) -> Producer:
        return self._producer(self._inner.producer(delivery_timeout_ms=delivery_timeout_ms))

    def transactional(self, name: str) -> TransactionalProducer:
        return self._transactional(self._inner.transactional(name))

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener | None = None, *, from_start: bool = True
    ) -> Consumer:
        return self._inner.consumer(topic, group, listener, from_start=from_start)

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        return self._inner.scan(topic, partition, start, stop=stop)

    def sift(self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None = None) -> Iterator[Record]:
        return self._inner.sift(topic, spans, wanted)

    def reader(self, topic: str) -> Reader:
        return self._inner.reader(topic)

    def tail(self, places: Mapping[str, Collection[int] | None], name: str) -> Tail:
        return self._inner.tail(places, name)

    def poster(self, *, delivery_timeout_ms: int) -> Poster:
        return self._inner.poster(delivery_timeout_ms=delivery_timeout_ms)

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        return self._inner.ends(topic)

    def end(self, topic: str, partition: int) -> int:
        return self.ends(topic)[partition][1]

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        return self._inner.offsets_at(topic, time_ms)

    def tombstones_ms(self, topic: str) -> int:
        return self._inner.tombstones_ms(topic)

    def targets(self, topics: Collection[str]) -> Mapping[str, Target]:
        return self._inner.targets(topics)

    def partitions(self, topic: str) -> int:
        return self._inner.partitions(topic)

    def topic_id(self, topic: str) -> str:
        return self._inner.topic_id(topic)
