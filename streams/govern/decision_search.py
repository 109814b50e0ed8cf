"""Searches `decisions` for one decision: in the partition of its id, from the end backwards, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from refrain.schemas.decisions import Decision
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.kafka.partitioner import partition_of
from refrain.streams.messaging.decoding import read

TOPIC = "decisions"
FIRST_CHUNK = 20_000
"""Offsets that are looked at first; each further chunk is three times as large, up to `CHUNK_MAX`."""
CHUNK_GROWTH = 3
CHUNK_MAX = 500_000
LOOKED_AT_MAX = 5_000_000
"""Offsets of the partition that are looked at: what is older is not found."""
SETTLE_MS = 1_000
"""How long a decision that was told may take to be recorded: it is committed after its response was sent."""


class Chunks(NamedTuple):
    """The sizes of a search, in offsets: its first chunk, its largest one, and all that it looks at."""

    first: int = FIRST_CHUNK
    max: int = CHUNK_MAX
    looked_at_max: int = LOOKED_AT_MAX


CHUNKS = Chunks()


class DecisionSearch:
    """The search for one decision, chunk by chunk, so that whoever searches can do other work in between."""

    def __init__(self, cluster: Cluster, decision_id: str, now_ms: Callable[[], int], chunks: Chunks = CHUNKS) -> None:
        self.decision_id = decision_id
        self.found: Decision | None = None
        self._cluster = cluster
        self._key = decision_id.encode()
        self._now_ms = now_ms
        self._settled_at_ms = now_ms() + SETTLE_MS
        self._partition = partition_of(self._key, cluster.partitions(TOPIC))
        self._first, self._end = cluster.ends(TOPIC)[self._partition]
        self._first = max(self._first, self._end - chunks.looked_at_max)
        self._start = self._end
        """From here on everything was looked at, up to `_end`."""
        self._chunk, self._chunk_max = chunks.first, chunks.max
        self._done = False

    def search_chunk(self) -> bool:
        """Search the next chunk. True when the search is over: `found` is the decision, None when there is none.

        Raises ClusterFailed when the broker does not answer.
        """
        if not self._done:
            self._done = self._search_backwards() if self._start > self._first else self._search_new()
        return self._done

    def _search_backwards(self) -> bool:
        end, self._start = self._start, max(self._first, self._start - self._chunk)
        self._chunk = min(self._chunk_max, CHUNK_GROWTH * self._chunk)
        return self._scan(self._start, end)

    def _search_new(self) -> bool:
        """Search what came since the search began; over when a decision that was told must be there."""
        settled = self._now_ms() >= self._settled_at_ms
        start, self._end = self._end, self._cluster.ends(TOPIC)[self._partition][1]
        return self._scan(start, self._end) or settled

    def _scan(self, start: int, end: int) -> bool:
        if start >= end:
            return False
        for record in self._cluster.scan(TOPIC, self._partition, start):
            if record.offset >= end:
                break
            if record.key == self._key:
                self.found = _decision(record)
                return True
        return False


def _decision(record: Record) -> Decision | None:
    try:
        return read(record.value, Decision.decode)
    except Refusal:
        return None
