"""The stretch of a journal that is folded again: its partitions, from where on it is published, and where it ends."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from refrain.ops.terminal.moments import local
from refrain.ops.terminal.points import Point
from refrain.streams.errors import BadInput, WrongValue
from refrain.streams.kafka.interface import Cluster, Record

TOPIC = "journal"


class Timed(NamedTuple):
    """A record, and the time (ms) of its shard when it is folded: stamps may step back, a shard's time does not."""

    time_ms: int
    record: Record


class Stretch:
    """Journal partitions from their first record to a point, or to where they end now."""

    def __init__(self, cluster: Cluster, partitions: Sequence[int] | None = None, until: Point | None = None) -> None:
        """All partitions where none are named.

        Raises BadInput for a partition that does not exist or whose first records are gone, for an offset without the
        one partition that it is of, and for a point outside of the log.
        """
        ends = cluster.ends(TOPIC)
        self.partitions = _known(ends, partitions)
        self._cluster, self._until = cluster, until
        self._ends = {number: ends[number][1] for number in self.partitions}
        for number in self.partitions:
            if ends[number][0] > 0:
                raise BadInput(
                    f"partition {number} of the journal begins at offset {ends[number][0]}: what came before is gone by"
                    " retention, and without it nothing there can be folded; name others with --partition"
                )
        if until is not None:
            self.check(until)
            if until.offset is not None:
                self._ends = {number: min(end, until.offset) for number, end in self._ends.items()}

    def check(self, point: Point) -> None:
        """Raises BadInput for a point that the log does not have."""
        if point.offset is not None:
            self._check_offset(point.offset, point.option)
        elif point.time_ms is not None:
            first = self._first_ms()
            if first is not None and point.time_ms < first:
                raise WrongValue(
                    f"{point.text} lies before the log: its first record is of {local(first)}", point.option
                )

    def __len__(self) -> int:
        """How many records there are, at most."""
        return sum(self._ends.values())

    def of(self, partition: int) -> Iterator[Timed]:
        """The records of a partition."""
        time_ms = 0
        for record in self._cluster.scan(TOPIC, partition):
            time_ms = max(time_ms, record.timestamp_ms)
            if record.offset >= self._ends[partition] or (
                self._until is not None and self._until.is_reached(record.offset, time_ms)
            ):
                return
            yield Timed(time_ms, record)

    def in_time(self) -> Iterator[Timed]:
        """The records of all partitions in the order of their times; those of one in the order of offsets."""
        return heapq.merge(
            *(self.of(number) for number in self.partitions),
            key=lambda timed: (timed.time_ms, timed.record.partition, timed.record.offset),
        )

    def _check_offset(self, offset: int, option: str | None) -> None:
        if len(self.partitions) > 1:
            raise WrongValue(
                f"{offset} is an offset of one partition: name it with --partition, or give a moment", option
            )
        (number,) = self.partitions
        if offset > self._ends[number]:
            raise WrongValue(
                f"partition {number} of the journal ends at offset {self._ends[number]}: there is no {offset}", option
            )

    def _first_ms(self) -> int | None:
        with closing(self._cluster.reader(TOPIC)) as reader:
            found = [reader.read(number, 0, 1) for number in self.partitions if self._ends[number]]
        return min((records[0].timestamp_ms for records in found if records), default=None)


def _known(ends: Mapping[int, object], wanted: Sequence[int] | None) -> list[int]:
    numbers = sorted(set(ends if wanted is None else wanted))
    wrong = [number for number in numbers if number not in ends]
    if wrong:
        raise WrongValue(f"the journal has the partitions 0 to {len(ends) - 1}, no {wrong[0]}", "--partition")
    return numbers
