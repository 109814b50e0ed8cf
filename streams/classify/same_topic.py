"""A consumer of one incarnation of a topic: ids of requests are of it, and a shard takes repeated ids for repeats.

A topic that is deleted and made anew under a worker begins at offset 0 again. Its requests would have the ids of those
that were there before, and be dropped by their shards without an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from refrain.streams.kafka.incarnation import TopicMadeAnew
from refrain.streams.kafka.interface import Cluster, Consumer, GroupMetadata, OffsetAndMetadata, Record


class SameTopic:
    """A consumer that raises ClusterFailed before it gives a record of another incarnation than the one it began with.

    Which one it is is asked where that may have changed: when partitions come, and when offsets are not higher.
    """

    def __init__(
        self,
        consumer: Consumer,
        cluster: Cluster,
        topic: str,
        topic_id: str,
        taken_over: Callable[[Mapping[int, int]], None] = lambda firsts: None,
    ) -> None:
        """`taken_over` hears of partitions that have come, with the offset of the first record of each, before it is
        given."""
        self._consumer = consumer
        self._cluster = cluster
        self._topic = topic
        self._topic_id = topic_id
        self._highest: dict[int, int] = {}
        self._taken_over = taken_over
        self._owned: set[int] = set()
        self._come: set[int] = set()
        """Newly assigned partitions of which no record was returned yet."""

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """As the consumer's. Raises ClusterFailed too when the topic was made anew."""
        batch = self._consumer.poll(max_records, timeout_s)
        if batch:
            self._look_at(batch)
        return batch

    def _look_at(self, batch: Sequence[Record]) -> None:
        owned = set(self._consumer.assignment())
        first = {record.partition: record.offset for record in reversed(batch)}
        if not owned <= self._owned or any(at <= self._highest.get(of, -1) for of, at in first.items()):
            self._check()
        self._come = (self._come | owned - self._owned) & owned
        if come := self._come & first.keys():
            self._taken_over({partition: first[partition] for partition in come})
            self._come -= come
        self._owned = owned
        self._highest.update({record.partition: record.offset for record in batch})

    def _check(self) -> None:
        if self._cluster.topic_id(self._topic) != self._topic_id:
            raise TopicMadeAnew(self._topic)

    def commit(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        self._consumer.commit(offsets)

    def committed(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        return self._consumer.committed(partitions)

    def group_metadata(self) -> GroupMetadata:
        return self._consumer.group_metadata()

    def member_id(self) -> str:
        return self._consumer.member_id()

    def seek(self, partition: int, offset: int) -> None:
        self._consumer.seek(partition, offset)

    def pause(self, partitions: Sequence[int]) -> None:
        self._consumer.pause(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        self._consumer.resume(partitions)

    def assignment(self) -> list[int]:
        return self._consumer.assignment()

    def lag(self) -> dict[int, int]:
        return self._consumer.lag()

    def close(self) -> None:
        self._consumer.close()
