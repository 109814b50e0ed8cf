"""Scans `decisions` for ids, which do not tell where they stand: in all partitions, the newest first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from refrain.streams.kafka.interface import Cluster, Record

TOPIC = "decisions"
FIRST_CHUNK = 20_000
"""Offsets that are looked at first; each further chunk is three times as large, up to `CHUNK_MAX`."""
CHUNK_GROWTH = 3
CHUNK_MAX = 500_000
LOOKED_AT_MAX = 5_000_000
"""Offsets that are looked at: what is older is not found by its id alone."""


class Chunks(NamedTuple):
    """The sizes of a scan, in offsets of all partitions: its first chunk, its largest one, all that it looks at."""

    first: int = FIRST_CHUNK
    max: int = CHUNK_MAX
    looked_at_max: int = LOOKED_AT_MAX


CHUNKS = Chunks()


@dataclass(slots=True)
class _Part:
    """What was looked at of a partition: all from `start` to `end`. Nothing before `first` is."""

    first: int
    start: int
    end: int


class IdScan:
    """The scan for the decisions of some ids, chunk by chunk. `found` holds their records by key."""

    def __init__(
        self,
        cluster: Cluster,
        decision_ids: Collection[str],
        ends: Mapping[int, tuple[int, int]],
        chunks: Chunks = CHUNKS,
    ) -> None:
        """`ends` are those of `decisions` when the search begins."""
        self._cluster = cluster
        self._sought = {decision_id.encode() for decision_id in decision_ids}
        self.found: dict[bytes, Record] = {}
        self._chunk, self._chunk_max = chunks.first, chunks.max
        share = chunks.looked_at_max // len(ends)
        self._parts = {partition: _Part(max(first, end - share), end, end) for partition, (first, end) in ends.items()}

    @property
    def exhausted(self) -> bool:
        """Whether all that was there when the search began was looked at, or as much as is."""
        return all(part.start <= part.first for part in self._parts.values())

    def look_back(self) -> None:
        """Look at the next chunk backwards, a share of it in each partition."""
        share = max(1, self._chunk // len(self._parts))
        self._chunk = min(self._chunk_max, CHUNK_GROWTH * self._chunk)
        for partition, part in self._parts.items():
            end, part.start = part.start, max(part.first, part.start - share)
            self._look(partition, part.start, end)

    def look_ahead(self) -> None:
        """Look at what came since the scan began, or since this was called last."""
        ends = self._cluster.ends(TOPIC)
        for partition, part in self._parts.items():
            start, part.end = part.end, ends[partition][1]
            self._look(partition, start, part.end)

    def _look(self, partition: int, start: int, end: int) -> None:
        if start >= end or not self._sought:
            return
        for record in self._cluster.scan(TOPIC, partition, start):
            if record.offset >= end:
                break
            if record.key in self._sought:
                self._sought.remove(record.key)
                self.found[record.key] = record
                if not self._sought:
                    break
