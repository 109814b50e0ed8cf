"""Turns: records that are read and not handed out yet. Partitions take turns, so that a crowd in one delays no other.

The client reads in the order in which brokers send, and one partition may have thousands of records in one answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from refrain.streams.kafka.interface import Record

RECORDS_MAX = 4_000
BYTES_MAX = 16_000_000
"""What is held in all; beyond that the partitions with the most are read no further."""
RESUMED_AT = 4
"""A partition is read on when a part in so many is left of what all may hold."""


class Turns:
    """The records that are held, in their order within each partition."""

    def __init__(self, records_max: int = RECORDS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._held: dict[int, deque[Record]] = {}
        self._sizes: dict[int, int] = {}
        self._stopped: set[int] = set()
        self._records_max = records_max
        self._bytes_max = bytes_max

    def add(self, records: Iterable[Record]) -> None:
        """Hold records behind those of their partitions."""
        for record in records:
            held = self._held.get(record.partition)
            if held is None:
                held = self._held[record.partition] = deque()
                self._sizes[record.partition] = 0
            held.append(record)
            self._sizes[record.partition] += record.plain_bytes

    def take(self, records_max: int) -> list[Record]:
        """At most so many records, one of each partition in turn; none of those that are stopped."""
        waiting = [held for number, held in self._held.items() if number not in self._stopped]
        taken: list[Record] = []
        while waiting and len(taken) < records_max:
            for held in waiting[: records_max - len(taken)]:
                taken.append(held.popleft())
                self._sizes[taken[-1].partition] -= taken[-1].plain_bytes
            waiting = [held for held in waiting if held]
        for record in taken:
            if not self._held.get(record.partition, ()):
                self.drop([record.partition])
        if len(self._held) > 1 and taken:
            # Whoever was first is the last of the next time.
            first = taken[0].partition
            if first in self._held:
                self._held[first] = self._held.pop(first)
        return taken

    def stop(self, partitions: Iterable[int]) -> None:
        """Hand out nothing more of these partitions."""
        self._stopped.update(partitions)

    def go_on(self, partitions: Iterable[int]) -> None:
        """Hand these partitions out again."""
        self._stopped.difference_update(partitions)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget what is held of these partitions."""
        for partition in partitions:
            self._held.pop(partition, None)
            self._sizes.pop(partition, None)

    def first_of(self, partition: int) -> int | None:
        """The offset of the first record that is held of a partition."""
        held = self._held.get(partition)
        return held[0].offset if held else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not self._held

    @property
    def is_idle(self) -> bool:
        """Whether nothing is held that may be handed out."""
        return self._held.keys() <= self._stopped

    def crowded(self, read: Collection[int]) -> list[int]:
        """Which of the partitions that are `read` are to be read no further: the fullest, until the rest has room."""
        records, size = sum(map(len, self._held.values())), sum(self._sizes.values())
        found = []
        for number in sorted(self._held, key=lambda each: -self._share(each)):
            if records <= self._records_max and size <= self._bytes_max:
                break
            records, size = records - len(self._held[number]), size - self._sizes[number]
            if number in read:
                found.append(number)
        return found

    def has_room(self, partition: int) -> bool:
        """Whether so little is left of a partition that it is to be read on."""
        return self._share(partition) * RESUMED_AT <= 1

    def _share(self, partition: int) -> float:
        """What a partition takes of all that may be held."""
        if partition not in self._held:
            return 0.0
        return max(len(self._held[partition]) / self._records_max, self._sizes[partition] / self._bytes_max)
