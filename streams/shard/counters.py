"""Running totals of request outcomes by category: counted with every record, written with the commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.documents import Tally
from refrain.schemas.responses import Outcome
from refrain.streams.shard.counts import Count, Counted

UNKNOWN = "-"
"""Requests of no category, or of one that the policy does not define: clients may name any."""

_FIELD_OF = {
    Outcome.HIT: "hits",
    Outcome.COALESCED: "coalesced",
    Outcome.MISS: "forwarded",
    Outcome.BYPASS: "passed",
    Outcome.ERROR: "errors",
}


class Counters:
    """Running totals by category; `moved` gives those that changed, to be written."""

    def __init__(self) -> None:
        self._totals: dict[str, Tally] = {}
        self._moved: dict[str, dict[str, int]] = {}
        self._left: dict[str, dict[str, int]] = {}

    def restore(self, category: str, tally: Tally) -> None:
        """Set a category's total to the stored one."""
        self._totals[category] = tally

    def count(self, decisions: Iterable[Decision], counts: Iterable[Count], known: Collection[str]) -> None:
        """Add the outcomes of one record. `known` are the categories that the policy defines."""
        for decision in decisions:
            self._decided(decision.category if decision.category in known else UNKNOWN, decision)
        for kind, *labels in counts:
            if kind is Counted.ADMITTED:
                self._add(labels[0], "admitted", 1)
            elif kind is Counted.EVICTED:
                left = self._left.setdefault(labels[0], {})
                left[labels[1]] = left.get(labels[1], 0) + 1

    def of(self) -> dict[str, Tally]:
        """The totals as of now."""
        return {category: self._total(category) for category in sorted(self._totals.keys() | self._moving())}

    def moved(self) -> dict[str, Tally]:
        """The totals that changed since the last call, to be written."""
        moved = sorted(self._moving())
        for category in moved:
            self._totals[category] = self._total(category)
        self._moved, self._left = {}, {}
        return {category: self._totals[category] for category in moved}

    def _decided(self, category: str | None, decision: Decision) -> None:
        name = category or UNKNOWN
        self._add(name, "asked", 1)
        self._add(name, _FIELD_OF[decision.outcome], 1)
        if decision.reason is Reason.OBSERVED:
            self._add(name, "observed", 1)
        if decision.outcome is Outcome.HIT:
            self._add(name, "load_only", decision.load_only)
            self._add(name, "stale", decision.stale)
            self._add(name, "saved_ms", decision.saved_ms)
            self._add(name, "saved_tokens", decision.saved_tokens)

    def _add(self, category: str, field: str, number: int) -> None:
        if number:
            moved = self._moved.setdefault(category, {})
            moved[field] = moved.get(field, 0) + number

    def _moving(self) -> set[str]:
        return self._moved.keys() | self._left.keys()

    def _total(self, category: str) -> Tally:
        before = self._totals.get(category, Tally())
        moved = {name: getattr(before, name) + number for name, number in self._moved.get(category, {}).items()}
        more = self._left.get(category, {})
        # In the order of the reasons, not of their first time: that depends on when commits were made.
        left = {reason: before.left.get(reason, 0) + more.get(reason, 0) for reason in sorted(before.left | more)}
        return before.model_copy(update={**moved, "left": left})
