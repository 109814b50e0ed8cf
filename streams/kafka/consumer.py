"""The consumer of the real cluster: a member of a cooperative group that reads committed records alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka import Consumer as ConfluentConsumer

from refrain.streams.errors import ClusterFailed, OffsetLost, Rebalanced, Unanswered
from refrain.streams.kafka.config import ADMIN_TIMEOUT_S, max_poll_interval_ms
from refrain.streams.kafka.convert import KafkaGroupMetadata, int_of, record_of, topic_partitions
from refrain.streams.kafka.damage import ALERT_SILENT_S, Damage
from refrain.streams.kafka.faults import BROKEN_CODES, CUT_CODES, failure_of, raise_unless_recovering
from refrain.streams.kafka.incarnation import Describe, Incarnation, own
from refrain.streams.kafka.interface import OffsetAndMetadata, RebalanceListener, Record
from refrain.streams.kafka.offsets import end_so_far
from refrain.streams.kafka.outages import Outages
from refrain.streams.kafka.raw_fetch import Fetch, raw_fetch
from refrain.streams.kafka.seeking import seek_to
from refrain.streams.kafka.turns import Turns
from refrain.streams.settings import Settings

PROBE_S = 0.1
"""How long a broker may take to show that it is back, while none answers."""
PROBE_EVERY_S = 1.0

AHEAD_RECORDS = 2_000
AHEAD_BYTES = 8_388_608
"""Records, or bytes, from which on the client reads no more ahead."""
TAKEN_MAX = 1_000
"""Records taken from the client at once."""


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
        fetch: Fetch | None = None,
        describe: Describe | None = None,
    ) -> None:
        self._topic = topic
        self._name = settings.prefix + topic
        self._listener = listener
        self._from_start = from_start
        self._outages = outages
        self._incarnation = Incarnation(self._name, describe, outages.clock)
        self._damage = Damage(topic, self._name, fetch or raw_fetch(settings), outages.clock)
        self._look_due_s = 0.0
        self._away = outages.waiting(f"reading {self._name}")
        self._is_away = False
        self._committing = outages.waiting(f"committing offsets of {self._name}")
        self._probe_due_s = 0.0
        self._cut: deque[OffsetLost] = deque()
        self._stuck: set[int] = set()
        """Partitions that were cut: the client seeks them no more."""
        self._turns = Turns()
        self._paused: set[int] = set()
        """Partitions that their owner has paused."""
        self._held_back: set[int] = set()
        """Partitions that are read no further, since much of them is held."""
        self._moved: set[int] = set()
        """Partitions that were sent elsewhere while records were read."""
        self._given_back: set[int] = set()
        """Partitions that were given back while records were read."""
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
                "queued.min.messages": AHEAD_RECORDS,
                "queued.max.messages.kbytes": AHEAD_BYTES // 1_024,
                "topic.metadata.refresh.interval.ms": 30_000,
            }
        )
        self.consumer.subscribe(
            [self._name], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self._incarnation.look()
        self._raise_cut()
        records = self._read(timeout_s if self._turns.is_idle else 0.0)
        if not self._turns.is_empty or len(records) > max_records:
            self._turns.add(records)
            records = self._turns.take(max_records)
        if self._held_back or not self._turns.is_empty:
            self._hold_back()
        if not records:
            self._raise_cut()
        return records

    def _read(self, timeout_s: float) -> list[Record]:
        """Take what the client has read, or wait for the first record."""
        self._given_back.clear()
        try:
            first = self.consumer.poll(timeout_s)
            if first is None:
                if self._is_away:
                    self._probe()
                    return []
                return self._behind_silence()
            messages = [first, *self.consumer.consume(TAKEN_MAX - 1, 0)]
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"reading {self._name}") from problem
        records = []
        broken: list[Message] = []
        cut: list[Message] = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(record_of(self._topic, message))
            elif error.code() in BROKEN_CODES and message.partition() is not None:
                broken.append(message)
            elif error.code() in CUT_CODES:
                cut.append(message)
            else:
                self._told(error)
        if self._given_back:
            # While it was read: its next owner reads it again.
            records = [record for record in records if record.partition not in self._given_back]
        self._moved.clear()
        records = self._sifted(records, broken)
        # Told when what was read before is handed out: it would be lost with it.
        self._cut += [self._cut_at(each) for each in cut if each.partition() not in self._moved]
        # Also while others come: a partition may be silent beside those.
        return records + self._behind_silence()

    def _sifted(self, records: list[Record], broken: Sequence[Message]) -> list[Record]:
        """The records without those that cannot be, and one for each batch that cannot be read.

        `broken` are the errors by which the client tells of such batches.
        """
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        for message in broken:
            partition, at, error = int_of(message.partition()), int_of(message.offset()), message.error()
            by_partition.setdefault(partition, [])
            start = self._start_of(partition, may_wait=True)
            if start is None or start <= at:
                start = at if start is None else start
                if error is not None and not self._damage.look(partition, start, broken_at=at):
                    raise failure_of(error, f"reading {self._name}[{partition}]")
        changed = bool(broken)
        for partition, theirs in by_partition.items():
            self._start_of(partition)
            found = self._damage.sift(partition, [each.offset for each in theirs], self._end_of(partition))
            if found.place is not None or found.kept < len(theirs):
                by_partition[partition], changed = [*theirs[: found.kept], *found.flawed], True
                self._read_on(partition, found.place)
        return [record for each in by_partition.values() for record in each] if changed else records

    def _behind_silence(self) -> list[Record]:
        """What stands in place of batches that cannot be read, where nothing comes though something is there."""
        now_s = self._outages.clock()
        if now_s < self._look_due_s:
            return []
        self._look_due_s = now_s + ALERT_SILENT_S
        for partition in set(self.assignment()) - self._paused - self._held_back - self._stuck:
            end = self._end_of(partition)
            at = self._start_of(partition, may_wait=True) if end > 0 else None
            if at is not None and self._damage.is_silent(partition, at, end):
                # One at a time: a look takes some milliseconds, and what is behind the others may come meanwhile.
                return list(self._passed_over(partition)) if self._damage.look(partition, at) else []
        return []

    def _passed_over(self, partition: int) -> Sequence[Record]:
        found = self._damage.sift(partition, (), -1)
        self._read_on(partition, found.place)
        return found.flawed

    def _read_on(self, partition: int, place: int | None) -> None:
        if place is not None:
            self._moved.add(partition)
            seek_to(self.consumer, self._name, partition, place)

    def _end_of(self, partition: int) -> int:
        """The end of a partition as far as the client knows it."""
        return end_so_far(self.consumer, self._name, partition)

    def _start_of(self, partition: int, *, may_wait: bool = False) -> int | None:
        """The offset that comes next of a partition; None where nobody tells it.

        Where nothing is committed its first offset takes as long to be told as a fetch waits: only who `may_wait` asks.
        """
        if not self._damage.knows(partition):
            self._learn_starts({partition, *self.assignment()})
        at = self._damage.place(partition)
        if at is None and may_wait and self._from_start:
            place = TopicPartition(self._name, partition)
            try:
                at = self.consumer.get_watermark_offsets(place, PROBE_EVERY_S)[0]
            except KafkaException:
                return None
            self._damage.begin(partition, at)
        return at

    def _learn_starts(self, partitions: Collection[int]) -> None:
        """Learn of partitions that nothing is known of where they are committed to, of all at once."""
        asked = sorted(partition for partition in partitions if not self._damage.knows(partition))
        kept: Mapping[int, OffsetAndMetadata] = {}
        if self._from_start:
            # What cannot be had now is looked at with the next silence.
            with suppress(ClusterFailed):
                kept = self._committed(asked)
        for partition in asked:
            self._damage.begin(partition, kept[partition].next_offset if partition in kept else None)

    def _raise_cut(self) -> None:
        """Raise OffsetLost of a partition that was cut, once all that was read of it before is handed out."""
        for cut in self._cut:
            if cut.partition is None or self._turns.first_of(cut.partition) is None:
                self._cut.remove(cut)
                raise cut

    def _hold_back(self) -> None:
        """Read no further what crowds the others out, and read on what has room again."""
        room = {partition for partition in self._held_back if self._turns.has_room(partition)}
        self._held_back -= room
        for partition in room:
            self._damage.wake(partition)
        self._resume_client(room - self._paused - self._stuck)
        crowded = self._turns.crowded(set(self.assignment()) - self._held_back)
        self._held_back.update(crowded)
        self._pause_client(crowded)

    def _pause_client(self, partitions: Collection[int]) -> None:
        if partitions:
            self.consumer.pause([TopicPartition(self._name, partition) for partition in partitions])

    def _resume_client(self, partitions: Collection[int]) -> None:
        if partitions:
            self.consumer.resume([TopicPartition(self._name, partition) for partition in partitions])

    def _cut_at(self, message: Message) -> OffsetLost:
        """What to raise for a partition that was cut; it is paused until its owner seeks it."""
        error, partition = message.error(), message.partition()
        why = "" if error is None else error.str()
        if partition is not None:
            self._pause_client([partition])
            self._stuck.add(partition)
        return OffsetLost(
            f"reading {self._name}[{partition}]: {why}; the topic was cut before this worker could read it",
            partition,
        )

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
            mine = self._incarnation.signed(offsets)
            done = self.consumer.commit(offsets=topic_partitions(self._name, mine), asynchronous=False)
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"committing offsets of {self._name}") from problem
        for each in done:
            if each.error is not None:
                raise failure_of(each.error, f"committing the offset of {self._name}[{each.partition}]")

    def committed(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        return self._outages.ask_again(f"the committed offsets of {self._name}", lambda: self._committed(partitions))

    def _committed(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        return own(self._kept(partitions), self._incarnation.id)

    def _kept(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        """What the group has committed, of whatever incarnation of the topic."""
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
        self._turns.drop([partition])
        self._damage.begin(partition, offset)
        try:
            if partition in self._stuck:
                place = TopicPartition(self._name, partition, offset)
                self.consumer.incremental_unassign([place])
                self.consumer.incremental_assign([place])
                self.consumer.pause([place])
                self._stuck.discard(partition)
                return
            self.consumer.seek(TopicPartition(self._name, partition, offset))
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"seeking {self._name}[{partition}]") from problem

    def pause(self, partitions: Sequence[int]) -> None:
        self._turns.stop(partitions)
        self._paused.update(partitions)
        self._pause_client(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        self._turns.go_on(partitions)
        self._paused.difference_update(partitions)
        for partition in partitions:
            self._damage.wake(partition)
        self._resume_client(set(partitions) - self._held_back)

    def assignment(self) -> list[int]:
        return sorted(each.partition for each in self.consumer.assignment())

    def lag(self) -> dict[int, int]:
        behind = {}
        for each in self.consumer.position(self.consumer.assignment()):
            _, end = self.consumer.get_watermark_offsets(each, cached=True)
            if each.offset >= 0 and end >= 0:
                held = self._turns.first_of(each.partition)
                behind[each.partition] = max(0, end - (each.offset if held is None else held))
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
        return KafkaGroupMetadata(self._topic, self._name, metadata, self._incarnation.signed)

    def member_id(self) -> str:
        return self.consumer.memberid() or ""

    def _on_assign(self, consumer: ConfluentConsumer, partitions: list[TopicPartition]) -> None:
        # What comes of them from now on is ours, however soon: read twice, but never left out.
        self._given_back.difference_update(each.partition for each in partitions)
        for each in partitions:
            self._damage.forget(each.partition)
        if not self._from_start:
            # The owner seeks before it reads; until then the partition is paused and its offset moot.
            partitions = [TopicPartition(p.topic, p.partition, OFFSET_BEGINNING) for p in partitions]
        elif partitions:
            others = self._outages.ask_again(
                f"which topic {self._name} is there", lambda: self._of_others([each.partition for each in partitions])
            )
            for each in partitions:
                if each.partition in others:
                    each.offset = OFFSET_BEGINNING
        consumer.incremental_assign(partitions)
        if not self._from_start and partitions:
            self.pause([each.partition for each in partitions])
        if by_hand := self._incarnation.untold():
            # Told at once: perhaps nothing comes that would be committed. What it does not take is told with the next.
            with suppress(ClusterFailed):
                self._commit(by_hand)
        if self._listener is not None:
            self._listener.assigned([each.partition for each in partitions])

    def _of_others(self, partitions: Sequence[int]) -> Collection[int]:
        """The partitions whose offsets were committed of another incarnation of the topic."""
        self._incarnation.ask()
        return self._incarnation.begin(self._kept(partitions), time.time_ns() // 1_000_000)

    def _on_revoke(self, consumer: ConfluentConsumer, partitions: list[TopicPartition]) -> None:
        self._give_back([each.partition for each in partitions])
        if self._listener is not None:
            self._listener.revoked([each.partition for each in partitions])
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: ConfluentConsumer, partitions: list[TopicPartition]) -> None:
        self._give_back([each.partition for each in partitions])
        if self._listener is not None:
            self._listener.lost([each.partition for each in partitions])
        consumer.incremental_unassign(partitions)

    def _give_back(self, partitions: Sequence[int]) -> None:
        """Forget all that is known of partitions that are given back."""
        self._given_back.update(partitions)
        self._turns.drop(partitions)
        self._turns.go_on(partitions)
        for partition in partitions:
            self._damage.forget(partition)
        for known in (self._stuck, self._held_back, self._paused):
            known.difference_update(partitions)
