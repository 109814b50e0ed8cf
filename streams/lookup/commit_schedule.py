"""When a worker commits: by time, by how much was folded since, or because somebody waits for an acknowledgement."""

from __future__ import annotations

from collections.abc import Callable, Collection

from refrain.streams.lookup.reports import CommitReports
from refrain.streams.lookup.shards import FoldedShards
from refrain.streams.settings import Lookup


class CommitSchedule:
    """Tells when the next commit is due. `elapsed_s` is a clock that only goes forward."""

    def __init__(
        self, settings: Lookup, shards: FoldedShards, reports: CommitReports, elapsed_s: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._shards = shards
        self._reports = reports
        self._elapsed_s = elapsed_s
        self._due_s = elapsed_s()
        self._since = 0
        """Records folded since the last commit began."""

    def folded(self, records: int) -> None:
        """So many records more were folded."""
        self._since += records

    def begun(self) -> None:
        """A commit begins now."""
        self._due_s = self._elapsed_s() + self._settings.commit_interval_ms / 1_000
        self._since = 0

    def is_due(self, partitions: Collection[int]) -> bool:
        """Whether to commit; records of these partitions were read last."""
        return (
            self._elapsed_s() >= self._due_s
            or self._since >= self._settings.commit_records
            or self._shards.uncommitted_bytes > self._settings.overlay_bytes_max
            or any(self._reports.is_awaited(self._shards[p]) for p in partitions if p in self._shards)
        )

    @property
    def is_late(self) -> bool:
        """Whether so much is uncommitted that the commit under way is to be waited for."""
        return self._shards.uncommitted_bytes > 2 * self._settings.overlay_bytes_max
