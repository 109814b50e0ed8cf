"""Scans `decisions` for one by its id, which does not tell where it stands: in all partitions, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
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
    """The scan for the decision of an id, chunk by chunk."""

    def __init__(
        self, cluster: Cluster, decision_id: str, ends: Mapping[int, tuple[int, int]], chunks: Chunks = CHUNKS
    ) -> None:
        """`ends` are those of `decisions` when the search begins."""
        self._cluster = cluster
        self._key = decision_id.encode()
        self._chunk, self._chunk_max = chunks.first, chunks.max
        share = chunks.looked_at_max // len(ends)
        self._parts = {partition: _Part(max(first, end - share), end, end) for partition, (first, end) in ends.items()}

    @property
    def exhausted(self) -> bool:
        """Whether all that was there when the search began was looked at, or as much as is."""
        return all(part.start <= part.first for part in self._parts.values())

    def look_back(self) -> Record | None:
        """Look at the next chunk backwards, a share of it in each partition."""
        share = max(1, self._chunk // len(self._parts))
        self._chunk = min(self._chunk_max, CHUNK_GROWTH * self._chunk)
        for partition, part in self._parts.items():
            end, part.start = part.start, max(part.first, part.start - share)
            found = self._look(partition, part.start, end)
            if found is not None:
                return found
        return None

    def look_ahead(self) -> Record | None:
        """Look at what came since the scan began, or since this was called last."""
        ends = self._cluster.ends(TOPIC)
        for partition, part in self._parts.items():
            start, part.end = part.end, ends[partition][1]
            found = self._look(partition, start, part.end)
            if found is not None:
                return found
        return None

    def _look(self, partition: int, start: int, end: int) -> Record | None:
        if start >= end:
            return None
        for record in self._cluster.scan(TOPIC, partition, start):
            if record.offset >= end:
                break
            if record.key == self._key:
                return record
        return None
