"""The cluster's in-memory twin: the same promises in one process, for tests and for folding recorded traffic.

Time comes from the caller; a group has one member at a time (a second one takes over and fences the first).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from refrain.schemas.topics import BY_NAME, MESSAGE_BYTES_MAX
from refrain.streams.errors import Fenced, OffsetLost, RecordsRefused, RefusedRecord, WrongSetup
from refrain.streams.kafka.incarnation import TopicMadeAnew, partition_gone
from refrain.streams.kafka.interface import (
    EndOffsets,
    GroupMetadata,
    OffsetAndMetadata,
    Outgoing,
    RebalanceListener,
    Record,
    Span,
    Target,
    Wanted,
    wire_bytes,
)
from refrain.streams.kafka.partitioner import partition_of


def _topic_id(number: int) -> str:
    """A topic id: 22 characters of base64url, as a broker's, and full of the marks that ids are joined by."""
    return f"-{number}-_".ljust(22, "-")


def _is_utf8(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


@dataclass
class _Topic:
    id: str
    records: list[list[Record]]
    max_bytes: int
    compacted: bool = False
    first: dict[int, int] = field(default_factory=dict)
    """The first offset that is still there, of partitions that were cut."""


@dataclass
class _Group:
    offsets: dict[int, OffsetAndMetadata] = field(default_factory=dict)
    topic_id: str = ""
    """The incarnation of the topic that the offsets are of; empty: of any."""
    member: MemoryConsumer | None = None

    def keep(self, offsets: Mapping[int, OffsetAndMetadata], topic_id: str) -> None:
        """Keep offsets that a member commits of the incarnation that it reads."""
        self.offsets = {**self.of(topic_id), **offsets}
        self.topic_id = topic_id

    def of(self, topic_id: str) -> dict[int, OffsetAndMetadata]:
        """The offsets that were kept of an incarnation."""
        return self.offsets if self.topic_id in ("", topic_id) else {}


class MemoryCluster:
    """A cluster in memory. `now_ms` stamps what is appended; stamps never run backwards in a partition.

    `topic_ids` gives topics ids of one's choice.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        partitions: Mapping[str, int] | None = None,
        topic_ids: Mapping[str, str] | None = None,
    ) -> None:
        self._now_ms = now_ms
        self._ids = itertools.count(1)
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[tuple[str, str], _Group] = {}
        self._epochs: dict[str, int] = {}
        self._spread = itertools.count()
        self.members = itertools.count(1)
        self._lock = threading.RLock()
        self.appended = threading.Condition(self._lock)
        """Notified whenever records were appended."""
        counts = partitions if partitions is not None else {name: t.partitions for name, t in BY_NAME.items()}
        for name, count in counts.items():
            self.create(name, count, topic_id=(topic_ids or {}).get(name))

    def create(
        self,
        topic: str,
        partitions: int,
        max_bytes: int | None = None,
        *,
        topic_id: str | None = None,
        compacted: bool | None = None,
    ) -> None:
        """Create a topic, or a new incarnation of it; it draws an id of its own where none is given.

        What it takes is as the table has it, unless `max_bytes` or `compacted` say otherwise. Nothing is compacted.
        """
        known = BY_NAME.get(topic)
        limit = max_bytes or (known.max_bytes if known else MESSAGE_BYTES_MAX)
        keyed = known is not None and known.cleanup == "compact" if compacted is None else compacted
        id_ = topic_id or _topic_id(next(self._ids))
        self._topics[topic] = _Topic(id_, [[] for _ in range(partitions)], limit, keyed)

    def configure(self, topic: str, *, max_bytes: int) -> None:
        """Set how large a record the topic takes from now on. Raises WrongSetup when it is missing."""
        self.topic(topic).max_bytes = max_bytes

    def add_partitions(self, topic: str, partitions: int) -> None:
        """Give a topic so many partitions; those that it has stay. Raises WrongSetup when it is missing."""
        rows = self.topic(topic).records
        rows += [[] for _ in range(partitions - len(rows))]

    def delete(self, topic: str) -> None:
        """Delete a topic with all that is in it. Raises WrongSetup when it is missing."""
        self.topic(topic)
        del self._topics[topic]

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Cut a partition: records below the offset `before` are gone."""
        self.topic(topic).first[partition] = before

    def producer(self, *, delivery_timeout_ms: int | None = None) -> MemoryProducer:
        return MemoryProducer(self)

    def transactional(self, name: str) -> MemoryTransactionalProducer:
        return MemoryTransactionalProducer(self, name)

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener | None = None, *, from_start: bool = True
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

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        found = self.topic(topic)
        return {number: (found.first.get(number, 0), len(records)) for number, records in enumerate(found.records)}

    def end(self, topic: str, partition: int) -> int:
        return self.ends(topic)[partition][1]

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

    def partitions(self, topic: str) -> int:
        return len(self.topic(topic).records)

    def topic_id(self, topic: str) -> str:
        return self.topic(topic).id

    def topic(self, name: str) -> _Topic:
        """The topic. Raises WrongSetup when it is missing."""
        if name not in self._topics:
            raise WrongSetup(f"topic {name} does not exist: run `refrain topics create`")
        return self._topics[name]

    def records(self, name: str) -> list[Record]:
        """All records of a topic, partition by partition."""
        return [record for partition in self.topic(name).records for record in partition]

    def append(self, records: Sequence[Outgoing]) -> EndOffsets:
        """Append all or, when some are refused, none. Raises RecordsRefused.

        A header's name with bytes escaped by `surrogateescape` is one that is not UTF-8: it is read as on a broker.
        """
        ends: dict[tuple[str, int], int] = {}
        with self._lock:
            refused = {at: why for at, record in enumerate(records) if (why := self._refusal(record)) is not None}
            if refused:
                raise RecordsRefused(refused)
            for record in records:
                number = self._partition_of(record)
                rows = self._topics[record.topic].records[number]
                stamp = max(self._now_ms(), rows[-1].timestamp_ms if rows else 0)
                unreadable = not all(_is_utf8(name) for name, _ in record.headers)
                rows.append(
                    Record(
                        record.topic,
                        number,
                        len(rows),
                        stamp,
                        record.key,
                        record.value,
                        () if unreadable else tuple(record.headers),
                        unreadable,
                    )
                )
                ends[(record.topic, number)] = len(rows)
            self.appended.notify_all()
        return ends

    def _refusal(self, record: Outgoing) -> RefusedRecord | None:
        """Why a broker would not take the record, None when it would."""
        topic = self._topics.get(record.topic)
        if topic is None:
            return RefusedRecord(f"topic {record.topic} does not exist")
        if wire_bytes(record) > topic.max_bytes:
            return RefusedRecord(f"{record.topic} refused a record: larger than {topic.max_bytes} bytes", True)
        if record.partition is not None and not 0 <= record.partition < len(topic.records):
            return RefusedRecord(f"{record.topic} has no partition {record.partition}")
        if topic.compacted and record.key is None:
            return RefusedRecord(f"{record.topic} refused a record: it is compacted, and the record has no key")
        return None

    def _partition_of(self, record: Outgoing) -> int:
        count = len(self._topics[record.topic].records)
        if record.partition is not None:
            return record.partition
        return next(self._spread) % count if record.key is None else partition_of(record.key, count)

    def group(self, topic: str, name: str) -> _Group:
        """The state of a consumer group."""
        return self._groups.setdefault((topic, name), _Group())

    def init_transactions(self, name: str) -> int:
        """A new epoch of a transactional id; producers of older epochs are fenced."""
        self._epochs[name] = self._epochs.get(name, 0) + 1
        return self._epochs[name]

    def epoch(self, name: str) -> int:
        """The epoch in force of a transactional id."""
        return self._epochs.get(name, 0)


class MemoryConsumer:
    """The only member of a consumer group; another one that joins fences it."""

    def __init__(
        self, cluster: MemoryCluster, topic: str, group: str, listener: RebalanceListener | None, from_start: bool
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

    def __init__(self, cluster: MemoryCluster, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic

    def read(self, partition: int, start: int, max_records: int) -> list[Record]:
        return self._cluster.topic(self._topic).records[partition][start : start + max_records]

    def close(self) -> None:
        pass


class MemoryTail:
    """Reads what is appended to partitions from their ends on."""

    def __init__(self, cluster: MemoryCluster, places: Mapping[str, Collection[int] | None]) -> None:
        self._cluster = cluster
        self._next: dict[tuple[str, int], int] = {}
        self._wanted = dict(places)
        self._ids = {topic: cluster.topic_id(topic) for topic in places}
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
            if self._ids[topic] == self._cluster.topic_id(topic):
                continue
            self._ids[topic], count = self._cluster.topic_id(topic), self._cluster.partitions(topic)
            gone = next((number for number in wanted or () if number >= count), None)
            if gone is not None:
                raise partition_gone(topic, gone, count)
            others = {place: at for place, at in self._next.items() if place[0] != topic}
            self._next = others | {(topic, number): 0 for number in (range(count) if wanted is None else wanted)}

    def _is_behind(self) -> bool:
        return any(len(self._cluster.topic(topic).records[number]) > at for (topic, number), at in self._next.items())


class MemoryPoster:
    """A producer whose records are in the topic when `post` returns."""

    def __init__(self, cluster: MemoryCluster) -> None:
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

    def __init__(self, cluster: MemoryCluster) -> None:
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

    def __init__(self, cluster: MemoryCluster, name: str) -> None:
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
