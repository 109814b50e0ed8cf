"""Queue waits: how long questions lie in `requests` before they are taken, whatever the clocks say. Pure.

A question's age is this worker's time less the broker's stamp, and holds the difference of the two clocks too. That
difference is the age of what comes when nothing is left to read; it is another one for each partition, as each has a
leader of its own. Until nothing was left once, the clocks count as equal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from refrain.streams.kafka.interface import Record

SETTLED = 10
"""Polls in a row that must leave nothing before a larger difference of clocks is believed: after a pause of this
worker the first one says that nothing is left, and has old questions."""
LEFT_MAX = 1
"""Records left in a partition that still count as nothing: the mark that ends a transaction is one, and is never read.
"""


class QueueWaits:
    """Waits of the questions in the partitions that this worker reads."""

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}
        self._was_idle = False
        """Whether the poll before gave nothing."""

    def measure(self, batch: Sequence[Record], behind: Mapping[int, int], now_ms: int) -> list[int]:
        """How long each record of the batch has waited (ms, never negative), in its order.

        `behind` says what is left to read of each partition that this worker owns; of others all is forgotten. What
        waited before the worker's first record of a partition does not count: a worker that starts, or takes over, is
        not late at once.
        """
        caught_up = self._was_idle or all(left <= LEFT_MAX for left in behind.values())
        self._was_idle = not batch
        stamps: dict[int, list[int]] = {}
        for record in batch:
            stamps.setdefault(record.partition, []).append(record.timestamp_ms)
        kept = behind.keys() | stamps.keys()
        self._partitions = {number: each for number, each in self._partitions.items() if number in kept}
        for number, of in stamps.items():
            self._partitions.setdefault(number, _Partition(now_ms)).take(max(of), now_ms, caught_up=caught_up)
        return [self._partitions[record.partition].wait_ms(record.timestamp_ms, now_ms) for record in batch]


class _Partition:
    """What is known of one partition: since when it is read, and how much this clock is ahead of its leader's."""

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._ahead_ms = 0
        self._is_known = False
        self._settled: deque[int] = deque(maxlen=SETTLED)
        """The smallest age in each of the last polls, all of which left nothing."""

    def take(self, newest_ms: int, now_ms: int, *, caught_up: bool) -> None:
        """Learn from a batch whose newest stamp is given."""
        age_ms = now_ms - newest_ms
        self._since_ms = min(self._since_ms, now_ms)
        if caught_up:
            self._settled.append(age_ms)
        else:
            self._settled.clear()
        if caught_up and not self._is_known:
            self._ahead_ms, self._is_known = age_ms, True
        elif len(self._settled) == SETTLED:
            self._ahead_ms = min(self._settled)
        # Nothing is older than it is: a smaller age is believed at once.
        self._ahead_ms = min(self._ahead_ms, age_ms)

    def wait_ms(self, stamp_ms: int, now_ms: int) -> int:
        """How long a record with that stamp has waited."""
        return min(now_ms - stamp_ms - self._ahead_ms, now_ms - self._since_ms)
