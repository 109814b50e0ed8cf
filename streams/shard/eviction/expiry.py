"""Expiry queues: the entries of each category by age, so that expired ones are found without a search.

Entries are admitted in the order of their ids, at times that never run backwards: the first of a queue is the oldest.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

AdmittedAt = Callable[[int], int | None]
"""When an entry was admitted (ms); None when it has left."""


class ExpiryQueues:
    """Entry ids by category, oldest first."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    def enter(self, category: str, id_: int) -> None:
        """Append an admitted entry; its id is higher than that of any before."""
        queue = self._queues.setdefault(category, _Queue())
        queue.ids.append(id_)
        queue.alive += 1

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
