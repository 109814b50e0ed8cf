"""The consumer of the real cluster: a member of a cooperative group that reads committed records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Consumer as ConfluentConsumer

from refrain.streams.errors import Rebalanced, Unanswered
from refrain.streams.kafka.config import ADMIN_TIMEOUT_S, max_poll_interval_ms
from refrain.streams.kafka.convert import KafkaGroupMetadata, record_of, topic_partitions
from refrain.streams.kafka.faults import failure_of, raise_unless_recovering
from refrain.streams.kafka.interface import OffsetAndMetadata, RebalanceListener, Record
from refrain.streams.kafka.outages import Outages
from refrain.streams.settings import Settings

PROBE_S = 0.1
"""How long a broker may take to show that it is back, while none answers."""
PROBE_EVERY_S = 1.0


class KafkaConsumer:
    """A member of a cooperative-sticky consumer group; its listener hears of each rebalance from within `poll`."""

    def __init__(
        self,
        base: Mapping[str, Any],
        settings: Settings,
        topic: str,
        group: str,
        listener: RebalanceListener | None,
        from_start: bool,
        outages: Outages,
    ) -> None:
        self._topic = topic
        self._name = settings.prefix + topic
        self._listener = listener
        self._from_start = from_start
        self._outages = outages
        self._away = outages.waiting(f"reading {self._name}")
        self._is_away = False
        self._committing = outages.waiting(f"committing offsets of {self._name}")
        self._probe_due_s = 0.0
        self.consumer = ConfluentConsumer(
            {
                **base,
                "group.id": settings.prefix + group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest" if from_start else "error",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": settings.session_timeout_ms,
                "heartbeat.interval.ms": max(100, settings.session_timeout_ms // 6),
                "max.poll.interval.ms": max_poll_interval_ms(settings),
                # The broker answers as soon as there is anything: what is idle asks it twice a second.
                "fetch.wait.max.ms": 500,
                "fetch.error.backoff.ms": 20,
                "fetch.queue.backoff.ms": 5,
                "queued.min.messages": 10_000,
                "queued.max.messages.kbytes": 32_768,
                "topic.metadata.refresh.interval.ms": 30_000,
            }
        )
        self.consumer.subscribe(
            [self._name], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        try:
            first = self.consumer.poll(timeout_s)
            if first is None:
                if self._is_away:
                    self._probe()
                return []
            messages = [first]
            if max_records > 1:
                messages += self.consumer.consume(max_records - 1, 0)
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"reading {self._name}") from problem
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(record_of(self._topic, message))
            else:
                self._told(error)
        return records

    def _told(self, error: KafkaError) -> None:
        """Note an error of a poll. Raises it when it is not one that the client recovers from by itself."""
        raise_unless_recovering(error, f"reading {self._name}")
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._is_away = True
            self._away.failed(error.str())

    def _probe(self) -> None:
        """Find out whether a broker is back, where none was: a topic without new records tells nothing of it."""
        now_s = self._outages.clock()
        if now_s < self._probe_due_s:
            return
        self._probe_due_s = now_s + PROBE_EVERY_S
        try:
            self.consumer.list_topics(self._name, PROBE_S)
        except KafkaException:
            return
        self._is_away = False
        self._away.answered()

    def commit(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        if not offsets:
            return
        try:
            self._commit(offsets)
        except Unanswered as problem:
            self._committing.failed(problem)
            raise
        self._committing.answered()

    def _commit(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        try:
            done = self.consumer.commit(offsets=topic_partitions(self._name, offsets), asynchronous=False)
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"committing offsets of {self._name}") from problem
        for each in done:
            if each.error is not None:
                raise failure_of(each.error, f"committing the offset of {self._name}[{each.partition}]")

    def committed(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        return self._outages.ask_again(f"the committed offsets of {self._name}", lambda: self._committed(partitions))

    def _committed(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        asked = [TopicPartition(self._name, partition) for partition in partitions]
        try:
            found = self.consumer.committed(asked, timeout=ADMIN_TIMEOUT_S)
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"asking for committed offsets of {self._name}") from problem
        for each in found:
            if each.error is not None:
                raise failure_of(each.error, f"asking for the committed offset of {self._name}[{each.partition}]")
        return {
            each.partition: OffsetAndMetadata(each.offset, each.metadata or "") for each in found if each.offset >= 0
        }

    def seek(self, partition: int, offset: int) -> None:
        try:
            self.consumer.seek(TopicPartition(self._name, partition, offset))
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"seeking {self._name}[{partition}]") from problem

    def pause(self, partitions: Sequence[int]) -> None:
        self.consumer.pause([TopicPartition(self._name, partition) for partition in partitions])

    def resume(self, partitions: Sequence[int]) -> None:
        self.consumer.resume([TopicPartition(self._name, partition) for partition in partitions])

    def assignment(self) -> list[int]:
        return sorted(each.partition for each in self.consumer.assignment())

    def lag(self) -> dict[int, int]:
        behind = {}
        for each in self.consumer.position(self.consumer.assignment()):
            _, end = self.consumer.get_watermark_offsets(each, cached=True)
            if each.offset >= 0 and end >= 0:
                behind[each.partition] = max(0, end - each.offset)
        return behind

    def close(self) -> None:
        for wait in (self._away, self._committing):
            wait.answered()
        self.consumer.close()

    def group_metadata(self) -> KafkaGroupMetadata:
        left = f"this worker has left the group that reads {self._name}, or was taken for dead"
        try:
            before = self.consumer.memberid()
            metadata = self.consumer.consumer_group_metadata()
            after = self.consumer.memberid()
        except RuntimeError as closing:
            # A consumer that closes gives its partitions back from within `close`, when it is no member any more.
            raise Rebalanced(left) from closing
        # Not every broker version fences a transaction that names no member.
        if not before or after != before:
            raise Rebalanced(left)
        return KafkaGroupMetadata(self._topic, self._name, metadata)

    def member_id(self) -> str:
        return self.consumer.memberid() or ""

    def _on_assign(self, consumer: ConfluentConsumer, partitions: list[TopicPartition]) -> None:
        if not self._from_start:
            # The owner seeks before it reads; until then the partition is paused and its offset moot.
            partitions = [TopicPartition(p.topic, p.partition, OFFSET_BEGINNING) for p in partitions]
        consumer.incremental_assign(partitions)
        if not self._from_start and partitions:
            consumer.pause(partitions)
        if self._listener is not None:
            self._listener.assigned([each.partition for each in partitions])

    def _on_revoke(self, consumer: ConfluentConsumer, partitions: list[TopicPartition]) -> None:
        if self._listener is not None:
            self._listener.revoked([each.partition for each in partitions])
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: ConfluentConsumer, partitions: list[TopicPartition]) -> None:
        if self._listener is not None:
            self._listener.lost([each.partition for each in partitions])
        consumer.incremental_unassign(partitions)
