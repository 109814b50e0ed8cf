"""Pending verifications with their timeouts, and the verifier's scores of entries."""

from __future__ import annotations

import heapq

from refrain.schemas.documents import Doubt, Opinion


class PendingVerifications:
    """Pending verifications of a shard (`Doubt` records), by the decision that waits."""

    def __init__(self) -> None:
        self._by_id: dict[str, Doubt] = {}
        self._timers: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, id_: str) -> Doubt | None:
        """The pending verification of that decision."""
        return self._by_id.get(id_)

    def put(self, id_: str, doubt: Doubt) -> None:
        """Add a pending verification and its timer."""
        self._by_id[id_] = doubt
        heapq.heappush(self._timers, (doubt.due_at_ms, id_))

    def end(self, id_: str) -> None:
        """Remove a pending verification."""
        self._by_id.pop(id_, None)

    def due(self, time_ms: int, most: int) -> list[str]:
        """Timed-out decisions, the longest due first. Changes nothing."""
        first = self.next_timer()
        if first is None or first > time_ms:
            return []
        due = ((doubt.due_at_ms, id_) for id_, doubt in self._by_id.items() if doubt.due_at_ms <= time_ms)
        return [id_ for _, id_ in heapq.nsmallest(most, due)]

    def next_timer(self) -> int | None:
        """Time (ms) of the next timeout, None without any."""
        while self._timers and not self._is_armed(self._timers[0]):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _is_armed(self, timer: tuple[int, str]) -> bool:
        doubt = self._by_id.get(timer[1])
        return doubt is not None and doubt.due_at_ms == timer[0]


class VerificationScores:
    """Verifier scores (`Opinion` records) by entry and question text; removed with their entry."""

    def __init__(self) -> None:
        self._by_entry: dict[int, dict[str, Opinion]] = {}

    def get(self, entry: int, text_digest: str) -> Opinion | None:
        """The score of an entry for a question text."""
        return self._by_entry.get(entry, {}).get(text_digest)

    def put(self, entry: int, text_digest: str, opinion: Opinion) -> None:
        """Store a score."""
        self._by_entry.setdefault(entry, {})[text_digest] = opinion

    def drop(self, entry: int, text_digest: str) -> None:
        """Remove a score."""
        rest = self._by_entry.get(entry, {})
        rest.pop(text_digest, None)
        if not rest:
            self._by_entry.pop(entry, None)

    def of(self, entry: int) -> list[str]:
        """Digests of the question texts for which the entry has scores."""
        return sorted(self._by_entry.get(entry, ()))
