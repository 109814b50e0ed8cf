"""What a lookup worker tells of its shards with each commit: which commands they have folded, and their stats.

Both ride in the transaction of the commit, so that they are true when they are seen.
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


class Report(NamedTuple):
    """What one shard tells with one commit."""

    control: int
    """The highest command folded, -1 before the first."""
    stats: ShardStats | None
    records: list[Outgoing]


class CommitReports:
    """What was told of each shard of a worker, and so what is to be told."""

    def __init__(self, now_ms: Callable[[], int], elapsed_s: Callable[[], float]) -> None:
        self._now_ms = now_ms
        self._elapsed_s = elapsed_s
        self._acknowledged: dict[int, int] = {}
        self._told: dict[int, tuple[int, float]] = {}
        """The offset that the last stats of a shard reach, and when they were told."""
        self.latest: dict[int, ShardStats] = {}
        """The last stats told of each shard."""

    def owned(self, shard: Shard) -> None:
        """The shard is this worker's now; what it has folded was told by whoever folded it."""
        self._acknowledged[shard.partition] = shard.highwater.get(CONTROL, -1)
        self._told[shard.partition] = (shard.next_offset, float("-inf"))

    def dropped(self, partition: int) -> None:
        """The shard is somebody else's."""
        for told in (self._acknowledged, self._told, self.latest):
            told.pop(partition, None)

    def is_due(self, shard: Shard) -> bool:
        """Whether stats are to be told: they have changed, and the last ones are a second old."""
        offset, at_s = self._told.get(shard.partition, (-1, float("-inf")))
        return shard.next_offset != offset and self._elapsed_s() - at_s >= STATS_INTERVAL_S

    def of(self, shard: Shard) -> Report:
        """What the next commit is to tell of the shard."""
        control = shard.highwater.get(CONTROL, -1)
        records = []
        if control != self._acknowledged.get(shard.partition, -1):
            worker = str(shard.partition)
            done = Acknowledgement(processor=PROCESSOR, worker=worker, version=control, at_ms=self._now_ms())
            records.append(Outgoing("acknowledgements", f"{PROCESSOR}/{worker}".encode(), done.encode(), (), 0))
        stats = stats_of(shard) if self.is_due(shard) else None
        if stats is not None:
            records.append(Outgoing("stats", str(shard.partition).encode(), stats.encode(), (), 0))
        return Report(control, stats, records)

    def told(self, shard: Shard, next_offset: int, report: Report) -> None:
        """The commit that told it is done."""
        self._acknowledged[shard.partition] = report.control
        if report.stats is not None:
            self._told[shard.partition] = (next_offset, self._elapsed_s())
            self.latest[shard.partition] = report.stats
