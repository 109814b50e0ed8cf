"""Commits the offsets of batches whose outcome is acknowledged, a few times a second and not after each batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from refrain.streams.errors import Rebalanced, Unanswered
from refrain.streams.kafka.interface import Consumer, OffsetAndMetadata, Record

logger = logging.getLogger(__name__)

COMMIT_INTERVAL_S = 0.25
"""How far apart commits are: nothing is processed meanwhile, and a crash repeats what came since the last one."""
COMMIT_AGAIN_S = 1.0
"""How soon offsets are committed again that could not be."""


class BatchCommits:
    """The offsets that are to be committed. `committed` hears, by partition, below which offsets all is."""

    def __init__(
        self,
        consumer: Consumer,
        committed: Callable[[Mapping[int, int]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._committed = committed
        self._clock = clock
        self._pending: dict[int, OffsetAndMetadata] = {}
        self._due_s = clock()

    def add(self, batch: Sequence[Record]) -> None:
        """The outcome of the batch is acknowledged: its offsets go with the next commit."""
        for record in batch:
            self._pending[record.partition] = OffsetAndMetadata(record.offset + 1)

    def commit_when_due(self) -> bool:
        """Commit if there is something and it is time to. Whether it was."""
        if not self._pending or self._clock() < self._due_s:
            return False
        self.commit()
        self._due_s = self._clock() + (COMMIT_AGAIN_S if self._pending else COMMIT_INTERVAL_S)
        return True

    def commit(self) -> None:
        """Commit the offsets of partitions still owned; what a rebalance or an outage leaves is committed later."""
        owned = set(self._consumer.assignment())
        self._pending = {partition: offset for partition, offset in self._pending.items() if partition in owned}
        if self._pending and self._is_taken(self._pending):
            self._committed({partition: offset.next_offset for partition, offset in self._pending.items()})
            self._pending = {}

    def _is_taken(self, offsets: Mapping[int, OffsetAndMetadata]) -> bool:
        try:
            self._consumer.commit(offsets)
        except (Rebalanced, Unanswered) as problem:
            level = logging.INFO if isinstance(problem, Rebalanced) else logging.DEBUG
            logger.log(level, "offsets are committed later: %s", problem)
            return False
        return True
