"""Reports of the shards with each commit: acknowledgements of folded commands, and stats.

Both are records of the transaction of the commit, so that they are true when they are seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.stats import ShardStats
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.shard.state import Shard
from refrain.streams.shard.stats import CONTROL, stats_of

PROCESSOR = "lookup"
STATS_INTERVAL_S = 1.0


class ShardReport(NamedTuple):
    """The report of one shard with one commit."""

    control: int
    """The highest command folded, -1 before the first."""
    stats: ShardStats | None
    records: list[Outgoing]


class CommitReports:
    """Makes the reports of a worker's shards; remembers what was reported, so that only news is."""

    def __init__(self, now_ms: Callable[[], int], elapsed_s: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self._elapsed_s = elapsed_s
        self._acknowledged: dict[int, int] = {}
        self._reported: dict[int, tuple[int, float]] = {}
        """The next offset of a shard at its last stats, and when they were reported (seconds)."""
        self.latest: dict[int, ShardStats] = {}
        """The last stats reported of each shard."""

    def add(self, shard: Shard) -> None:
        """Start to report a shard; what it has folded so far was reported by whoever folded it."""
        self._acknowledged[shard.partition] = shard.highwater.get(CONTROL, -1)
        self._reported[shard.partition] = (shard.next_offset, float("-inf"))

    def renew(self, partition: int) -> None:
        """Report a shard with the next commit whatever it has folded: the last report said that it was stopped."""
        self._reported[partition] = (-1, float("-inf"))

    def remove(self, partition: int) -> None:
        """Stop to report a shard that another worker owns."""
        for reported in (self._acknowledged, self._reported, self.latest):
            reported.pop(partition, None)

    def is_due(self, shard: Shard) -> bool:
        """Whether stats are due: they have changed, and the last ones are a second old."""
        offset, at_s = self._reported.get(shard.partition, (-1, float("-inf")))
        return shard.next_offset != offset and self._elapsed_s() - at_s >= STATS_INTERVAL_S

    def is_awaited(self, shard: Shard) -> bool:
        """Whether a command was folded that is not acknowledged yet: whoever gave it waits."""
        return shard.highwater.get(CONTROL, -1) != self._acknowledged.get(shard.partition, -1)

    def report(self, shard: Shard) -> ShardReport:
        """The report of the shard for the next commit."""
        control = shard.highwater.get(CONTROL, -1)
        records = []
        if self.is_awaited(shard):
            worker = str(shard.partition)
            done = Acknowledgement(processor=PROCESSOR, worker=worker, version=control, at_ms=self._now_ms())
            records.append(Outgoing("acknowledgements", f"{PROCESSOR}/{worker}".encode(), done.encode(), (), 0))
        stats = stats_of(shard) if self.is_due(shard) else None
        if stats is not None:
            records.append(Outgoing("stats", str(shard.partition).encode(), stats.encode(), (), 0))
        return ShardReport(control, stats, records)

    def committed(self, shard: Shard, next_offset: int, report: ShardReport) -> None:
        """Remember a report that has been committed."""
        self._acknowledged[shard.partition] = report.control
        if report.stats is not None:
            self._reported[shard.partition] = (next_offset, self._elapsed_s())
            self.latest[shard.partition] = report.stats
