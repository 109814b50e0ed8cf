"""Decisions near their threshold: which question met which kept one, and how near, from `decisions`, without text.

Nearest first: what lies at the threshold says most about where it belongs.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from pydantic import ValidationError

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Record

NEAR_MAX = 20_000
"""Decisions whose texts are looked for: the nearest of them, where there are more."""
ROUNDING = 1e-9
"""What a difference of similarities may be off by."""
_WITHDRAWN = "withdrawn"


class NearDecision(NamedTuple):
    """A decision, the entry that it met, and its similarity to it."""

    id: str
    partition: int
    offset: int
    """Of the journal record that was folded: the question, or the second opinion that it waited for."""
    category: str
    entry: str
    similarity: float
    threshold: float
    reason: str
    was_hit: bool
    """Whether the entry's answer was served, fresh and by meaning."""

    @property
    def distance(self) -> float:
        """How far the similarity lies from the threshold."""
        return abs(self.similarity - self.threshold)


class Wanted(NamedTuple):
    """Which decisions: at most so far from the threshold, of one category or of all, and of none that is `never`."""

    within: float
    category: str | None = None
    never: Collection[str] = ()


def near_decisions(records: Iterable[Record], wanted: Wanted) -> list[NearDecision]:
    """The decisions of `decisions` that are wanted, nearest to their thresholds first, each once."""
    found = {each.id: each for record in records for each in _near(record) if _is_wanted(each, wanted)}
    return heapq.nsmallest(NEAR_MAX, found.values(), key=lambda each: (each.distance, each.id))


def _near(record: Record) -> Iterator[NearDecision]:
    try:
        decision = Decision.decode(record.value or b"")
    except ValidationError:
        return
    met = _met(decision)
    if met is None or decision.threshold is None or decision.category is None:
        return
    entry, similarity = met
    was_hit = decision.outcome is Outcome.HIT and decision.reason is Reason.SIMILAR_TEXT
    yield NearDecision(
        decision.id,
        decision.partition,
        decision.offset,
        decision.category,
        entry,
        similarity,
        decision.threshold,
        str(decision.reason),
        was_hit,
    )


def _met(decision: Decision) -> tuple[str, float] | None:
    """The entry that served, or would have been the first to, and its similarity."""
    if decision.entry_id is not None and decision.similarity is not None:
        return decision.entry_id, decision.similarity
    first = next((each for each in decision.candidates if each.verdict != _WITHDRAWN), None)
    return None if first is None else (first.entry_id, first.similarity)


def _is_wanted(each: NearDecision, wanted: Wanted) -> bool:
    named = wanted.category in (None, each.category) and each.category not in wanted.never
    return named and each.distance <= wanted.within + ROUNDING
