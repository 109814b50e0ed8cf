"""Places of records, and tallies of what became of each, in a byte a record: a million of them fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

BLOCK = 1 << 14
TALLY_MAX = 255


class Place(NamedTuple):
    """Where a record stands; the topic is one of the table."""

    topic: str
    partition: int
    offset: int


class Stretch:
    """Records that follow each other in a partition."""

    def __init__(self, topic: str, partition: int, first: int, count: int) -> None:
        self.topic, self.partition, self.first, self.count = topic, partition, first, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Place]:
        return (Place(self.topic, self.partition, self.first + number) for number in range(self.count))


class Stretches:
    """Many records, in the order in which they were written."""

    def __init__(self) -> None:
        self._each: list[Stretch] = []
        self._count = 0

    def add(self, stretches: list[Stretch]) -> None:
        """Take note of more."""
        self._each += stretches
        self._count += sum(map(len, stretches))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Place]:
        return (place for stretch in self._each for place in stretch)


class Tally:
    """How often something happened to the record of each place; counts no further than `TALLY_MAX`."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, int, int], bytearray] = {}

    def __getitem__(self, place: Place) -> int:
        block = self._blocks.get((place.topic, place.partition, place.offset // BLOCK))
        return 0 if block is None else block[place.offset % BLOCK]

    def __setitem__(self, place: Place, times: int) -> None:
        at = (place.topic, place.partition, place.offset // BLOCK)
        block = self._blocks.get(at)
        if block is None:
            block = self._blocks[at] = bytearray(BLOCK)
        block[place.offset % BLOCK] = min(times, TALLY_MAX)
