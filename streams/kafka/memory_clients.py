"""Consumers, producers and readers of the cluster in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from refrain.streams.errors import Fenced, OffsetLost, RecordsRefused, RefusedRecord, WrongSetup
from refrain.streams.kafka.incarnation import TopicMadeAnew, partition_gone
from refrain.streams.kafka.interface import (
    EndOffsets,
    GroupMetadata,
    OffsetAndMetadata,
    Outgoing,
    RebalanceListener,
    Record,
)
from refrain.streams.kafka.memory_log import MemoryLog


class MemoryConsumer:
    """The only member of a consumer group; another one that joins fences it."""

    def __init__(
        self, cluster: MemoryLog, topic: str, group: str, listener: RebalanceListener | None, from_start: bool
    ) -> None:
        self._cluster = cluster
        self._topic = topic
        self._group = cluster.group(topic, group)
        self._listener = listener
        self._from_start = from_start
        self._next: dict[int, int] = {}
        self._paused: set[int] = set()
        previous = self._group.member
        if previous is not None:
            previous.fence_member()
        self._group.member = self
        self._joined = False
        self._owned = True
        self.topic_id = cluster.topic(topic).id
        """The incarnation that it reads."""
        self._is_anew = False
        self._id = f"{group}-{next(cluster.members)}"

    def fence_member(self) -> None:
        """Fence this member: another one took over, and every partition is lost."""
        self._owned = False

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        if not self._owned:
            if self._listener is not None:
                self._listener.lost(list(self._next))
            raise Fenced(f"another worker reads {self._topic}: start this one again")
        if not self._joined:
            self._join()
        self._look()
        out: list[Record] = []
        topic = self._cluster.topic(self._topic)
        for number, rows in enumerate(topic.records):
            if number in self._paused:
                continue
            at, first = self._next.get(number, -1), topic.first.get(number, 0)
            if at < first and self._from_start:
                at = first
            if at < first or at > len(rows):
                if out:
                    # Told with the next poll: what this one read of other partitions would be lost with it.
                    continue
                self.pause([number])
                raise OffsetLost(f"{self._topic}[{number}] has no offset to go on from", number)
            taken = rows[at : at + max_records - len(out)]
            self._next[number] = at + len(taken)
            out += taken
        return out

    def commit(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        self.check_owned()
        self._group.keep(offsets, self.topic_id)

    def check_owned(self) -> None:
        """Raises Fenced when another member took over."""
        if not self._owned:
            raise Fenced(f"another worker reads {self._topic}: start this one again")

    def committed(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        mine = self._group.of(self.topic_id)
        return {p: mine[p] for p in partitions if p in mine}

    @property
    def topic(self) -> str:
        return self._topic

    def group_metadata(self) -> MemoryConsumer:
        self.check_owned()
        return self

    def member_id(self) -> str:
        return self._id if self._joined and self._owned else ""

    def seek(self, partition: int, offset: int) -> None:
        self._next[partition] = offset

    def pause(self, partitions: Sequence[int]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        self._paused.difference_update(partitions)

    def assignment(self) -> list[int]:
        return sorted(self._next) if self._owned else []

    def lag(self) -> dict[int, int]:
        rows = self._cluster.topic(self._topic).records
        return {number: max(0, len(rows[number]) - at) for number, at in self._next.items()}

    def close(self) -> None:
        if self._owned and self._joined and self._listener is not None:
            self._listener.revoked(list(self._next))
        if self._group.member is self:
            self._group.member = None
        self._owned = False

    def _look(self) -> None:
        """Look which incarnation is there. The next poll tells that it is another one: a broker tells it late too."""
        if self._is_anew:
            raise TopicMadeAnew(self._topic)
        self._is_anew = self._cluster.topic(self._topic).id != self.topic_id

    def _join(self) -> None:
        self._joined = True
        count = self._cluster.partitions(self._topic)
        offsets = self.committed(range(count))
        for number in range(count):
            known = offsets.get(number)
            if self._from_start:
                self._next[number] = 0 if known is None else known.next_offset
            else:
                self._next[number] = -1
                self._paused.add(number)
        if self._listener is not None:
            self._listener.assigned(list(self._next))


class MemoryReader:
    """Reads a topic at any offset."""

    def __init__(self, cluster: MemoryLog, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic

    def read(self, partition: int, start: int, max_records: int) -> list[Record]:
        return self._cluster.topic(self._topic).records[partition][start : start + max_records]

    def close(self) -> None:
        pass


class MemoryTail:
    """Reads what is appended to partitions from their ends on."""

    def __init__(self, cluster: MemoryLog, places: Mapping[str, Collection[int] | None]) -> None:
        self._cluster = cluster
        self._next: dict[tuple[str, int], int] = {}
        self._wanted = dict(places)
        self._ids = {topic: cluster.topic(topic).id for topic in places}
        for topic, wanted in places.items():
            ends = cluster.ends(topic)
            for number in ends if wanted is None else wanted:
                if number not in ends:
                    raise WrongSetup(f"topic {topic} has no partition {number}")
                self._next[(topic, number)] = ends[number][1]

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        with self._cluster.appended:
            self._look()
            self._cluster.appended.wait_for(self._is_behind, timeout_s)
            out: list[Record] = []
            for (topic, number), at in self._next.items():
                taken = self._cluster.topic(topic).records[number][at : at + max_records - len(out)]
                self._next[(topic, number)] = at + len(taken)
                out += taken
        return out

    def lag(self) -> dict[tuple[str, int], int]:
        return {
            (topic, number): len(self._cluster.topic(topic).records[number]) - at
            for (topic, number), at in self._next.items()
        }

    def close(self) -> None:
        pass

    def _look(self) -> None:
        for topic, wanted in self._wanted.items():
            now = self._cluster.topic(topic)
            if self._ids[topic] == now.id:
                continue
            self._ids[topic], count = now.id, len(now.records)
            gone = next((number for number in wanted or () if number >= count), None)
            if gone is not None:
                raise partition_gone(topic, gone, count)
            others = {place: at for place, at in self._next.items() if place[0] != topic}
            self._next = others | {(topic, number): 0 for number in (range(count) if wanted is None else wanted)}

    def _is_behind(self) -> bool:
        return any(len(self._cluster.topic(topic).records[number]) > at for (topic, number), at in self._next.items())


class MemoryPoster:
    """A producer whose records are in the topic when `post` returns."""

    def __init__(self, cluster: MemoryLog) -> None:
        self._cluster = cluster

    def post(self, record: Outgoing, failed: Callable[[str], None]) -> None:
        try:
            self._cluster.append([record])
        except RecordsRefused as refusal:
            failed(refusal.refused[0].text)

    def poll(self) -> None:
        pass

    def close(self) -> None:
        pass


class MemoryProducer:
    """A producer whose records are in the topic when `send` returns."""

    def __init__(self, cluster: MemoryLog) -> None:
        self._cluster = cluster

    def send(self, records: Sequence[Outgoing]) -> None:
        refused: dict[int, RefusedRecord] = {}
        for at, record in enumerate(records):
            try:
                self._cluster.append([record])
            except RecordsRefused as refusal:
                refused[at] = refusal.refused[0]
        if refused:
            raise RecordsRefused(refused)

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        self.send(records)

    def close(self) -> None:
        pass


class MemoryTransactionalProducer:
    """Appends the records and commits the offsets, or does neither."""

    def __init__(self, cluster: MemoryLog, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self._epoch: int | None = None

    def transact(
        self, records: Sequence[Outgoing], member: GroupMetadata | None, offsets: Mapping[int, OffsetAndMetadata]
    ) -> EndOffsets:
        if self._epoch is None:
            self._epoch = self._cluster.init_transactions(self._name)
        if self._epoch != self._cluster.epoch(self._name):
            raise Fenced(f"another producer is {self._name}: start this one again")
        if isinstance(member, MemoryConsumer):
            member.check_owned()
        ends = self._cluster.append(records)
        if isinstance(member, MemoryConsumer):
            member.commit(offsets)
        return ends

    def close(self) -> None:
        pass
