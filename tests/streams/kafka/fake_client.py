"""Fakes of librdkafka's clients: they fail as it fails, when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException

INVALID = -1001
"""What the client gives in place of an offset that it does not know."""


def error(
    code: int, *, retriable: bool = False, fatal: bool = False, txn_requires_abort: bool = False
) -> KafkaException:
    """What a call of the client raises."""
    return KafkaException(KafkaError(code, "as the test says", fatal, retriable, txn_requires_abort))


class FakeConsumer:
    """A consumer that tells the watermarks that it is given, of a topic with so many partitions."""

    def __init__(self, watermarks: Callable[[int], tuple[int, int]], partitions: int = 1) -> None:
        self.watermarks = watermarks
        self.partitions = partitions
        self.closed = False

    def poll(self, timeout_s: float) -> None:
        """It has nothing to tell."""

    def list_topics(self, name: str, timeout_s: float) -> Any:
        found = SimpleNamespace(error=None, partitions=dict.fromkeys(range(self.partitions)))
        return SimpleNamespace(topics={name: found})

    def get_watermark_offsets(self, place: Any, timeout_s: float) -> tuple[int, int]:
        return self.watermarks(place.partition)

    def offsets_for_times(self, places: Iterable[Any], timeout_s: float) -> list[Any]:
        """The first or the end offset of each place, as it asks for: no record has a time."""
        found = []
        for place in places:
            first, end = self.watermarks(place.partition)
            offset = {OFFSET_BEGINNING: first, OFFSET_END: end}[place.offset]
            found.append(SimpleNamespace(partition=place.partition, offset=offset, error=None))
        return found

    def close(self) -> None:
        self.closed = True


class FakeProducer:
    """A producer whose calls fail in the order that the test says, each once, and then work.

    `failures` maps a call to what it raises; `reports` are the codes of the delivery reports, 0 for success, and None
    for a report that does not come with this flush. `calls` is what was called.
    """

    def __init__(self, failures: dict[str, list[Exception]] | None = None, reports: Iterable[int | None] = ()) -> None:
        self.failures = failures or {}
        self.calls: list[str] = []
        self.flushed: Callable[[], None] = lambda: None
        self.reports: Iterator[int | None] = iter(reports)
        self._waiting: list[tuple[Any, Callable[..., None]]] = []
        self.offset = 0

    def produce(self, name: str, value: Any, key: Any, partition: int, *, headers: Any, on_delivery: Any) -> None:
        self._called("produce")
        message = SimpleNamespace(topic=lambda: name, partition=lambda: max(partition, 0), offset=self._next_offset)
        self._waiting.append((message, on_delivery))

    def flush(self, timeout_s: float) -> int:
        self._called("flush")
        self.flushed()
        waiting, self._waiting = self._waiting, []
        for message, report in waiting:
            code = next(self.reports, 0)
            if code is None:
                self._waiting.append((message, report))
            else:
                report(None if code == 0 else KafkaError(code), message)
        return len(self._waiting)

    def init_transactions(self, timeout_s: float) -> None:
        self._called("init_transactions")

    def begin_transaction(self) -> None:
        self._called("begin_transaction")

    def send_offsets_to_transaction(self, offsets: Any, metadata: Any, timeout_s: float) -> None:
        self._called("send_offsets_to_transaction")

    def commit_transaction(self, timeout_s: float) -> None:
        self._called("commit_transaction")

    def abort_transaction(self, timeout_s: float) -> None:
        self._called("abort_transaction")

    def __len__(self) -> int:
        return len(self._waiting)

    def _next_offset(self) -> int:
        return self.offset

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.failures.get(name):
            raise self.failures[name].pop(0)
