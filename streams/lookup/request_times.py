"""How long requests take in this worker, by outcome: from the journal's stamp of a question to its response.

What waits for a model is remembered by its decision's id; after a restart, or beyond `OPEN_MAX`, it is not measured.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Histogram

from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.lru import LruCache
from refrain.streams.shard.outcome import FoldResult

OPEN_MAX = 50_000
"""Requests that are remembered."""
NOT_RESPONSES = frozenset({"forwards", "dead-letters", "observations", "doubts", "progress"})
"""Topics of a shard's other effects."""
OUTCOMES = {f'"{outcome.value}"'.encode(): outcome for outcome in Outcome}
_OUTCOME = b'"outcome":'
_DECISION = b'"decision":{"id":"'


class RequestTimes:
    """Observes the time of each response once it is sent."""

    def __init__(self, seconds: Histogram) -> None:
        self._by_outcome = {outcome: seconds.labels(outcome.value) for outcome in Outcome}
        self._asked_at_ms: LruCache[str, int] = LruCache(OPEN_MAX)

    def take(self, folded: Iterable[FoldResult], effects: Iterable[Outgoing], now_ms: int) -> None:
        """Take a batch that was folded and whose effects were sent by now."""
        for each in folded:
            for decision in each.decisions:
                if decision.outcome is not Outcome.BYPASS:
                    self._asked_at_ms.put(decision.id, decision.time_ms)
        for effect in effects:
            told = None if effect.topic in NOT_RESPONSES else told_by(effect.value or b"")
            if told is None:
                continue
            outcome, id_ = told
            asked_at_ms = self._asked_at_ms.get(id_)
            if asked_at_ms is not None:
                self._by_outcome[outcome].observe(max(0, now_ms - asked_at_ms) / 1_000)


def told_by(response: bytes) -> tuple[Outcome, str] | None:
    """Outcome and decision of a response that Refrain encoded; None without a decision.

    Two searches in place of parsing: a body may be large. Quotes inside of texts are escaped, so they are not found.
    """
    at, start = response.find(_OUTCOME), response.rfind(_DECISION)
    if at < 0 or start < 0:
        return None
    begin = at + len(_OUTCOME)
    outcome = OUTCOMES.get(response[begin : response.find(b'"', begin + 1) + 1])
    start += len(_DECISION)
    return None if outcome is None else (outcome, response[start : response.find(b'"', start)].decode())
