"""A log that notes which topics are touched and how, around any other log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from streams.kafka.interface import (
    Ends,
    Listener,
    Log,
    Membership,
    Outgoing,
    Position,
    Reader,
    Record,
    TransactionalWriter,
    Writer,
)


class RecordingLog:
    """Passes everything on; topics outside the table (those that begin with `/`) are not noted."""

    def __init__(self, inner: Log) -> None:
        self.inner = inner
        self.groups: dict[str, str] = {}
        """The topic that each consumer group reads."""
        self.scanned: set[str] = set()
        self.written: set[str] = set()
        self.described: Counter[str] = Counter()
        self.configs_read: set[str] = set()
        self.transactional_ids: set[str] = set()

    @property
    def read(self) -> set[str]:
        """Every topic whose records were asked for."""
        return self.scanned | set(self.groups.values())

    def writer(self, *, within_ms: int | None = None) -> Writer:
        return RecordingWriter(self, self.inner.writer(within_ms=within_ms))

    def transactional(self, name: str) -> TransactionalWriter:
        self.transactional_ids.add(name)
        return RecordingTransactions(self, self.inner.transactional(name))

    def reader(self, topic: str, group: str, listener: Listener | None = None, *, from_start: bool = True) -> Reader:
        self.groups[group] = topic
        return self.inner.reader(topic, group, listener, from_start=from_start)

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        self.scanned.add(topic)
        return self.inner.scan(topic, partition, start, stop=stop)

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        self.described[topic] += 1
        return self.inner.ends(topic)

    def tombstones_ms(self, topic: str) -> int:
        self.configs_read.add(topic)
        return self.inner.tombstones_ms(topic)

    def partitions(self, topic: str) -> int:
        self.described[topic] += 1
        return self.inner.partitions(topic)

    def topic_id(self, topic: str) -> str:
        self.described[topic] += 1
        return self.inner.topic_id(topic)

    def note_written(self, records: Sequence[Outgoing]) -> None:
        """These records are about to be written."""
        self.written.update(record.topic for record in records if not record.topic.startswith("/"))


class RecordingWriter:
    """Notes what it sends."""

    def __init__(self, log: RecordingLog, inner: Writer) -> None:
        self._log, self._inner = log, inner

    def send(self, records: Sequence[Outgoing]) -> None:
        self._log.note_written(records)
        self._inner.send(records)

    def close(self) -> None:
        self._inner.close()


class RecordingTransactions:
    """Notes what it writes in transactions."""

    def __init__(self, log: RecordingLog, inner: TransactionalWriter) -> None:
        self._log, self._inner = log, inner

    def transact(
        self, records: Sequence[Outgoing], member: Membership | None, positions: Mapping[int, Position]
    ) -> Ends:
        self._log.note_written(records)
        return self._inner.transact(records, member, positions)

    def close(self) -> None:
        self._inner.close()
