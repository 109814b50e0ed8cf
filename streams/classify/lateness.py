"""Lateness: which questions waited too long for a vector to be made. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from refrain.streams.kafka.interface import Record

RESUMES = 0.5
"""The share of the limit to which the queue is shortened. Were it the limit itself, every batch would be passed by in
part, and a model takes much longer for few texts one by one than for many together."""

Place = tuple[int, int]
"""Partition and offset of a question."""


class Lateness:
    """Tells late questions: from the first that waited longer than `wait_max_ms` (0: none is late), all of its
    partition until one has waited no longer than half of that."""

    def __init__(self, wait_max_ms: int) -> None:
        self._max_ms = wait_max_ms
        self.resumes_ms = wait_max_ms * RESUMES
        """The wait to which the queue is shortened."""
        self._passing: set[int] = set()
        self.ahead = 0
        """How many of the questions to be taken next are late as well, as far as the last batch tells."""

    def tell(self, batch: Sequence[Record], waits_ms: Sequence[int]) -> set[Place]:
        """The late ones of a batch, whose waits are given in its order."""
        late = {
            (record.partition, record.offset)
            for record, wait_ms in zip(batch, waits_ms, strict=True)
            if self._is_late(record.partition, wait_ms)
        }
        is_passing = bool(batch) and batch[-1].partition in self._passing
        self.ahead = self._left(waits_ms) if is_passing else 0
        return late

    def _is_late(self, partition: int, wait_ms: int) -> bool:
        if 0 < self._max_ms < wait_ms:
            self._passing.add(partition)
        elif wait_ms <= self.resumes_ms:
            self._passing.discard(partition)
        return partition in self._passing

    def _left(self, waits_ms: Sequence[int]) -> int:
        """How many come before one that is in time, if they are as close to each other as those of the batch."""
        span_ms = max(waits_ms) - min(waits_ms)
        return 0 if span_ms == 0 else int((waits_ms[-1] - self.resumes_ms) * (len(waits_ms) - 1) / span_ms)
