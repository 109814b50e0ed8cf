"""Step 1 of the commit: folds the records of a batch, each over the state of its partition's shard.

A record of a stopped shard is taken without state; one at which a shard turns out to be broken lets go of the shard.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from refrain.streams.errors import JournalUnreadable, ShardBroken, StoreDamaged, StoreUnusable
from refrain.streams.kafka.interface import Record
from refrain.streams.lookup.mending import Mending
from refrain.streams.lookup.shards import FoldedShards
from refrain.streams.lookup.stopped import StoppedShards
from refrain.streams.runtime.progress import Progress
from refrain.streams.shard.fold import fold
from refrain.streams.shard.outcome import FoldResult

logger = logging.getLogger(__name__)


class Folding:
    """Folds records for one worker."""

    def __init__(self, shards: FoldedShards, stopped: StoppedShards, mending: Mending, progress: Progress) -> None:
        """`progress` knows the records that are set aside."""
        self._shards = shards
        self._stopped = stopped
        self._mending = mending
        self._progress = progress

    def fold(self, records: Sequence[Record]) -> list[FoldResult | None]:
        """What came of each record; None where it was folded before, or cannot be folded now."""
        return [self._fold(record) for record in records]

    def _fold(self, record: Record) -> FoldResult | None:
        shard = self._shards.get(record.partition)
        if shard is None:
            return self._take_stopped(record)
        if record.offset < shard.next_offset or self._mending.awaits(record.partition):
            return None
        try:
            folded = fold(shard, record)
        except JournalUnreadable as unreadable:
            logger.error("%s", unreadable)
            self._mending.unknown_version(record.partition)
            return None
        except (StoreDamaged, StoreUnusable, ShardBroken) as failure:
            self._mending.broken(record.partition, failure)
            return None
        self._shards.folded(record.partition, folded)
        return folded

    def _take_stopped(self, record: Record) -> FoldResult | None:
        if record.partition not in self._stopped or self._progress.is_set_aside(record):
            return None
        return self._stopped.take(record)
