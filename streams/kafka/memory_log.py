"""What the cluster in memory holds: topics, their records, and what consumer groups have committed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from refrain.schemas.topics import BY_NAME, MESSAGE_BYTES_MAX
from refrain.streams.errors import RecordsRefused, RefusedRecord, WrongSetup
from refrain.streams.kafka.interface import EndOffsets, OffsetAndMetadata, Outgoing, Record, wire_bytes
from refrain.streams.kafka.partitioner import partition_of

if TYPE_CHECKING:
    from refrain.streams.kafka.memory_clients import MemoryConsumer


def _topic_id(number: int) -> str:
    """A topic id: 22 characters of base64url, as a broker's, and full of the marks that ids are joined by."""
    return f"-{number}-_".ljust(22, "-")


def _is_utf8(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


@dataclass
class MemoryTopic:
    """Topic: its records by partition, and what it takes."""

    id: str
    records: list[list[Record]]
    max_bytes: int
    compacted: bool = False
    first: dict[int, int] = field(default_factory=dict)
    """The first offset that is still there, of partitions that were cut."""


@dataclass
class MemoryGroup:
    """Consumer group of one topic."""

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


class MemoryLog:
    """Topics and groups in memory. `now_ms` stamps what is appended; stamps never run backwards in a partition.

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
        self._topics: dict[str, MemoryTopic] = {}
        self._groups: dict[tuple[str, str], MemoryGroup] = {}
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
        self._topics[topic] = MemoryTopic(id_, [[] for _ in range(partitions)], limit, keyed)

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

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        found = self.topic(topic)
        return {number: (found.first.get(number, 0), len(records)) for number, records in enumerate(found.records)}

    def end(self, topic: str, partition: int) -> int:
        return self.ends(topic)[partition][1]

    def partitions(self, topic: str) -> int:
        return len(self.topic(topic).records)

    def topic_id(self, topic: str) -> str:
        return self.topic(topic).id

    def topic(self, name: str) -> MemoryTopic:
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
            return RefusedRecord(f"topic {record.topic} does not exist", gone=True)
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

    def group(self, topic: str, name: str) -> MemoryGroup:
        """The state of a consumer group."""
        return self._groups.setdefault((topic, name), MemoryGroup())

    def init_transactions(self, name: str) -> int:
        """A new epoch of a transactional id; producers of older epochs are fenced."""
        self._epochs[name] = self._epochs.get(name, 0) + 1
        return self._epochs[name]

    def epoch(self, name: str) -> int:
        """The epoch in force of a transactional id."""
        return self._epochs.get(name, 0)
