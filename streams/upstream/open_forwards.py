"""Forwards that a connector works on, and the partitions that it pauses while there are too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from refrain.streams.kafka.interface import Consumer, Headers
from refrain.streams.upstream.offset_tracker import OffsetTracker


@dataclass
class OpenForward:
    """A forward without an acknowledged completion, and every partition and offset it was read from."""

    model: str
    sources: list[tuple[int, int]]
    started: bool = False
    """Whether its call is under way: it waits in the queue otherwise."""
    context: Headers = ()
    """What its completion carries of the trace of its request."""

    @property
    def place(self) -> tuple[int, int] | None:
        """The first partition and offset it was read from; None when all its partitions are another worker's."""
        return self.sources[0] if self.sources else None


class OpenForwards(dict[str, OpenForward]):
    """Open forwards by the id of their call."""

    def depths(self) -> Counter[str]:
        """How many are open, by model."""
        return Counter(each.model for each in self.values())

    def any_started(self, partitions: Collection[int] | None = None) -> bool:
        """Whether a call is under way for a forward of these partitions (None: of any)."""
        return any(
            each.started and (partitions is None or any(partition in partitions for partition, _ in each.sources))
            for each in self.values()
        )

    def forget(self, partitions: Collection[int], *, only_queued: bool = False) -> None:
        """Forget forwards of partitions that another worker owns; `only_queued`: those whose call has not begun."""
        for id_, each in list(self.items()):
            if only_queued and each.started:
                continue
            each.sources = [source for source in each.sources if source[0] not in partitions]
            if not each.sources:
                del self[id_]


class Throttle:
    """Pauses partitions while too many forwards are open, or one old call holds a partition's offset back."""

    def __init__(self, consumer: Consumer, offsets: OffsetTracker, open_max: int, span_max: int) -> None:
        """`open_max` is in forwards, `span_max` in offsets from a partition's oldest open forward to its newest."""
        self._consumer = consumer
        self._offsets = offsets
        self._open_max = open_max
        self._span_max = span_max
        self._paused: set[int] = set()
        self._full = False

    def turn(self, open_: int) -> None:
        """Pause and resume, with so many forwards open. What is paused resumes at half of its bound."""
        self._full = open_ > self._open_max // 2 if self._full else open_ >= self._open_max
        wanted = self._offsets.partitions if self._full else self._offsets.over_span(self._span_of)
        if wanted - self._paused:
            self._consumer.pause(sorted(wanted - self._paused))
        if self._paused - wanted:
            self._consumer.resume(sorted(self._paused - wanted))
        self._paused = wanted

    def forget(self, partitions: Collection[int]) -> None:
        """Forget partitions that another worker owns."""
        self._paused.difference_update(partitions)

    def _span_of(self, partition: int) -> int:
        return self._span_max // 2 if partition in self._paused else self._span_max
