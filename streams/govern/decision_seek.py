"""Seeks decisions by the journal record that brought them about.

In a partition of `decisions` the offsets of one journal never fall. So the first decision of a record is found by
bisection, in a few reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

from refrain.schemas.base import Part
from refrain.streams.kafka.interface import Cluster, Record

TOPIC = "decisions"
READ_RECORDS = 100
"""Records that one read takes: among so few offsets nothing is bisected."""
READS_MAX = 200
"""Reads of one seek. Bisection takes some twenty; what cannot be read at all is read over."""
EARLIER = -1
"""Stands for the offset of a decision of an earlier journal, or of one that lies in another shard's partition."""


class JournalPlace(NamedTuple):
    """The coordinates of a journal record."""

    journal: str
    """The topic id."""
    partition: int
    offset: int


class DecisionSeek:
    """The seek of the decisions of one journal record. It can be repeated when more may have been recorded."""

    def __init__(self, cluster: Cluster, place: JournalPlace, first: int) -> None:
        """`first` is the first offset of the partition of `decisions`. Close it."""
        self._cluster = cluster
        self._reader = cluster.reader(TOPIC)
        self._place = place
        self._low = first
        """Every decision before this offset is of an earlier journal record."""
        self._reads_left = 0
        self.passed = False
        """Whether a decision of a later journal record stands there: no more of this one will come."""

    def records(self) -> list[Record]:
        """The decisions of the journal record that are recorded by now, in the order of the fold.

        Raises ClusterFailed when the broker does not answer.
        """
        end = self._cluster.ends(TOPIC)[self._place.partition][1]
        self._reads_left = READS_MAX
        self._bisect(end)
        out = []
        for record, offset in self._from(self._low, end):
            if offset > self._place.offset:
                self.passed = True
                break
            if offset == self._place.offset:
                out.append(record)
        return out

    def begin(self) -> int:
        """An offset of `decisions` before which all are of earlier journal records, near the first that is not.

        Raises ClusterFailed when the broker does not answer.
        """
        self._reads_left = READS_MAX
        self._bisect(self._cluster.ends(TOPIC)[self._place.partition][1])
        return self._low

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""
        self._reader.close()

    def _bisect(self, high: int) -> None:
        """Move `_low` to where the first decision is that is not of an earlier record, or so near that a read is."""
        while high - self._low > READ_RECORDS:
            middle = (self._low + high) // 2
            first = next(self._from(middle, high), None)
            if first is None or first[1] >= self._place.offset:
                high = middle
            else:
                self._low = first[0].offset + 1

    def _from(self, start: int, end: int) -> Iterator[tuple[Record, int]]:
        """The decisions from `start` on to `end`, with the journal offset of each."""
        while start < end and self._reads_left > 0:
            self._reads_left -= 1
            records = self._reader.read(self._place.partition, start, READ_RECORDS)
            if not records:
                return
            for record in records:
                if record.offset >= end:
                    return
                offset = self._offset_of(record)
                if offset is not None:
                    yield record, offset
            start = records[-1].offset + 1

    def _offset_of(self, record: Record) -> int | None:
        """The journal offset of a decision of any version; None for a record that is not a decision."""
        try:
            said = _Standing.model_validate_json(record.value or b"")
        except ValidationError:
            return None
        here = (said.journal, said.partition) == self._place[:2]
        return said.offset if here else EARLIER


class _Standing(Part):
    """Where a decision says that it stands."""

    journal: str = ""
    partition: int
    offset: int
