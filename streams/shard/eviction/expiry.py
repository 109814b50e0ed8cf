"""Expiry queues: the entries of each category by age, so that expired ones are found without a search; and deadlines.

Entries are admitted in the order of their ids, at times that never run backwards: the first of a queue is the oldest.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Sequence

AdmittedAt = Callable[[int], int | None]
"""When an entry was admitted (ms); None when it has left."""


class ExpiryQueues:
    """Entry ids by category, oldest first."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    def enter(self, category: str, id_: int) -> None:
        """Append an admitted entry; its id is higher than that of any before."""
        self.enter_many(category, (id_,))

    def enter_many(self, category: str, ids: Sequence[int]) -> None:
        """Append admitted entries; their ids rise, and are higher than that of any before."""
        queue = self._queues.setdefault(category, _Queue())
        queue.ids.extend(ids)
        queue.alive += len(ids)

    def leave(self, category: str, admitted_at: AdmittedAt) -> None:
        """Count a removed entry out (`admitted_at` knows it no more); its id is dropped when it reaches the head."""
        queue = self._queues[category]
        queue.alive -= 1
        if queue.alive == 0:
            del self._queues[category]
        elif len(queue.ids) > 2 * queue.alive + 64:
            queue.ids = array("q", (id_ for id_ in queue.ids[queue.first :] if admitted_at(id_) is not None))
            queue.first = 0

    def counts(self) -> dict[str, int]:
        """Entries of each category that has any."""
        return {category: queue.alive for category, queue in self._queues.items()}

    def oldest(self, category: str, most: int, admitted_before_ms: int, admitted_at: AdmittedAt) -> list[int]:
        """Up to `most` of the oldest ids admitted before a time (ms). They stay until they `leave`."""
        queue = self._queues.get(category)
        found: list[int] = []
        if queue is None:
            return found
        queue.skip(admitted_at)
        for place in range(queue.first, len(queue.ids)):
            since = admitted_at(queue.ids[place])
            if since is None:
                continue
            if since >= admitted_before_ms or len(found) == most:
                break
            found.append(queue.ids[place])
        return found

    def first_admitted_ms(self, category: str, admitted_at: AdmittedAt) -> int | None:
        """When the oldest entry of the category was admitted (ms), None without any."""
        queue = self._queues.get(category)
        return None if queue is None else queue.skip(admitted_at)


class Deadlines:
    """Entry ids by a time of their own, at which they leave whatever their category's lifetime."""

    def __init__(self) -> None:
        self._timers: list[tuple[int, int]] = []

    def enter(self, id_: int, at_ms: int) -> None:
        """Add an admitted entry that leaves at a time (ms)."""
        heapq.heappush(self._timers, (at_ms, id_))

    def take_due(self, time_ms: int, most: int, admitted_at: AdmittedAt) -> list[int]:
        """Take out up to `most` ids that are still there and have to leave by now, the longest due first."""
        due: list[int] = []
        while len(due) < most and (first := self.next_ms(admitted_at)) is not None and first <= time_ms:
            due.append(heapq.heappop(self._timers)[1])
        return due

    def next_ms(self, admitted_at: AdmittedAt) -> int | None:
        """When the next one has to leave (ms), None when none has to."""
        while self._timers and admitted_at(self._timers[0][1]) is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None


class _Queue:
    """Queue of ids from `first` on, some of them already removed."""

    __slots__ = ("alive", "first", "ids")

    def __init__(self) -> None:
        self.ids = array("q")
        self.first = 0
        self.alive = 0

    def skip(self, admitted_at: AdmittedAt) -> int | None:
        """Drop removed ids at the head; returns when the new head was admitted (ms)."""
        while self.first < len(self.ids):
            since = admitted_at(self.ids[self.first])
            if since is not None:
                return since
            self.first += 1
        return None
