"""Recording cluster: notes which topics are touched and how, around any other cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from refrain.streams.kafka.interface import (
    Cluster,
    Consumer,
    EndOffsets,
    GroupMetadata,
    OffsetAndMetadata,
    Outgoing,
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
from refrain.streams.kafka.wrapped import WrappedCluster


class RecordingCluster(WrappedCluster):
    """Wrapper of a cluster that records its use; topics outside the table (those that begin with `/`) are left out."""

    def __init__(self, inner: Cluster) -> None:
        super().__init__(inner)
        self.groups: dict[str, str] = {}
        """The topic that each consumer group reads."""
        self.instances: dict[str, str] = {}
        """The name of the static member of each consumer group, empty for one that is none."""
        self.scanned: set[str] = set()
        self.written: set[str] = set()
        self.described: Counter[str] = Counter()
        self.configs_read: set[str] = set()
        self.transactional_ids: set[str] = set()

    @property
    def read(self) -> set[str]:
        """Every topic whose records were asked for."""
        return self.scanned | set(self.groups.values())

    def producer(self, *, delivery_timeout_ms: int | None = None) -> Producer:
        return RecordingProducer(self, super().producer(delivery_timeout_ms=delivery_timeout_ms))

    def transactional(self, name: str) -> TransactionalProducer:
        self.transactional_ids.add(name)
        return RecordingTransactionalProducer(self, super().transactional(name))

    def consumer(
        self,
        topic: str,
        group: str,
        listener: RebalanceListener | None = None,
        *,
        from_start: bool = True,
        instance: str = "",
    ) -> Consumer:
        self.groups[group] = topic
        self.instances[group] = instance
        return super().consumer(topic, group, listener, from_start=from_start, instance=instance)

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        self.scanned.add(topic)
        return super().scan(topic, partition, start, stop=stop)

    def sift(self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None = None) -> Iterator[Record]:
        self.scanned.add(topic)
        return super().sift(topic, spans, wanted)

    def reader(self, topic: str) -> Reader:
        self.scanned.add(topic)
        return super().reader(topic)

    def tail(self, places: Mapping[str, Collection[int] | None], name: str) -> Tail:
        self.scanned.update(places)
        return super().tail(places, name)

    def poster(self, *, delivery_timeout_ms: int) -> Poster:
        return RecordingPoster(self, super().poster(delivery_timeout_ms=delivery_timeout_ms))

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        self.described[topic] += 1
        return super().ends(topic)

    def end(self, topic: str, partition: int) -> int:
        self.described[topic] += 1
        return super().end(topic, partition)

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        self.described[topic] += 1
        return super().offsets_at(topic, time_ms)

    def tombstones_ms(self, topic: str) -> int:
        self.configs_read.add(topic)
        return super().tombstones_ms(topic)

    def targets(self, topics: Collection[str]) -> Mapping[str, Target]:
        self.configs_read.update(topic for topic in topics if not topic.startswith("/"))
        return super().targets(topics)

    def partitions(self, topic: str) -> int:
        self.described[topic] += 1
        return super().partitions(topic)

    def topic_id(self, topic: str) -> str:
        self.described[topic] += 1
        return super().topic_id(topic)

    def note_written(self, records: Sequence[Outgoing]) -> None:
        """These records are about to be written."""
        self.written.update(record.topic for record in records if not record.topic.startswith("/"))


class RecordingProducer:
    """Notes what it sends."""

    def __init__(self, cluster: RecordingCluster, inner: Producer) -> None:
        self._cluster, self._inner = cluster, inner

    def send(self, records: Sequence[Outgoing]) -> None:
        self._cluster.note_written(records)
        self._inner.send(records)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        self._cluster.note_written(records)
        self._inner.send_singly(records)

    def close(self) -> None:
        self._inner.close()


class RecordingPoster:
    """Notes what it posts."""

    def __init__(self, cluster: RecordingCluster, inner: Poster) -> None:
        self._cluster, self._inner = cluster, inner

    def post(self, record: Outgoing, failed: Callable[[str], None]) -> None:
        self._cluster.note_written([record])
        self._inner.post(record, failed)

    def poll(self) -> None:
        self._inner.poll()

    def close(self) -> None:
        self._inner.close()


class RecordingTransactionalProducer:
    """Notes what it writes in transactions."""

    def __init__(self, cluster: RecordingCluster, inner: TransactionalProducer) -> None:
        self._cluster, self._inner = cluster, inner

    def transact(
        self, records: Sequence[Outgoing], member: GroupMetadata | None, offsets: Mapping[int, OffsetAndMetadata]
    ) -> EndOffsets:
        self._cluster.note_written(records)
        return self._inner.transact(records, member, offsets)

    def close(self) -> None:
        self._inner.close()
