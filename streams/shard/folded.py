"""What folding a record leads to, beside the change of state."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.decisions import Decision
from schemas.responses import DecisionSummary
from streams.log import Outgoing


@dataclass(slots=True)
class Folded:
    """Effects go out at once (step 2 of the commit), decisions with the commit (step 3)."""

    effects: list[Outgoing] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    counts: list[tuple[str, ...]] = field(default_factory=list)
    """What metrics count: (`admitted`, category), (`evicted`, category, reason), (`dropped`, reason) ..."""


def summary(decision: Decision) -> DecisionSummary:
    """What the requester is told of a decision."""
    return DecisionSummary(
        id=decision.id,
        category=decision.category,
        similarity=decision.similarity,
        threshold=decision.threshold,
        policy_version=decision.policy_version,
        load=decision.load,
        entry_id=decision.entry_id,
        entry_age_ms=decision.entry_age_ms,
        guards=decision.guards,
        reason=decision.reason.value,
    )
