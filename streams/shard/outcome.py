"""Result of folding a record, beside the change of state: effects, decisions, counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from refrain.schemas.base import Dependence
from refrain.schemas.decisions import Decision, Guarded
from refrain.schemas.journal import Asked, Passed
from refrain.schemas.responses import DecisionSummary
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.shard.counts import Count
from refrain.streams.shard.state import BEHAVIOUR, Shard


@dataclass(slots=True)
class FoldResult:
    """Effects go out at once (step 2 of the commit), decisions with the commit (step 3)."""

    effects: list[Outgoing] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    """Counts for `Counters` and metrics."""
    more: bool = False
    """Whether another tick may find something at once: timers that are due, or entries to look at."""


def decided(shard: Shard, record: Record, event: Asked | Passed, **said: Any) -> Decision:
    """Decision record of an event: who asked what, where it was folded, and the other fields in `said`."""
    return Decision.trusted(
        id=event.id,
        journal=shard.incarnation,
        partition=record.partition,
        offset=record.offset,
        time_ms=shard.time_ms,
        request_id=event.request_id,
        tenant=event.tenant,
        category=event.category,
        model=event.model,
        behaviour=_behaviour(event),
        depends=_depends(event),
        **said,
    )


def _behaviour(event: Asked | Passed) -> str:
    """What decided: fold and guards, and the rules of classify where they looked at the question."""
    depends = event.depends if isinstance(event, Asked) else None
    return BEHAVIOUR if depends is None else f"{BEHAVIOUR}/{depends.rules}"


def _depends(event: Asked | Passed) -> Dependence | None:
    depends = event.depends if isinstance(event, Asked) else None
    return depends if depends is not None and (depends.volatile or depends.personal) else None


def summary(decision: Decision) -> DecisionSummary:
    """Summary of a decision for the requester."""
    return DecisionSummary.trusted(
        id=decision.id,
        partition=decision.partition,
        offset=decision.offset,
        category=decision.category,
        similarity=decision.similarity,
        score=decision.score,
        threshold=decision.threshold,
        policy_version=decision.policy_version,
        load=decision.load,
        entry_id=decision.entry_id,
        entry_age_ms=decision.entry_age_ms,
        stale=decision.stale,
        head_weight=decision.head_weight,
        guards=tuple([_told(each) for each in decision.guards]),
        depends=decision.depends,
        reason=decision.reason.value,
    )


def _told(guarded: Guarded) -> dict[str, Any]:
    """What a guard said, as JSON has it."""
    return {
        "entry_id": guarded.entry_id,
        "guard": guarded.guard.value,
        "verdict": guarded.verdict,
        "words": list(guarded.words),
        "weight": guarded.weight,
    }
