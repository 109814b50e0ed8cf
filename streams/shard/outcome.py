"""Result of folding a record, beside the change of state: effects, decisions, counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from refrain.schemas.base import Dependence
from refrain.schemas.decisions import CountedDependence, Decision
from refrain.schemas.journal import Asked, Passed
from refrain.schemas.responses import DecisionSummary
from refrain.streams.errors import ShardBroken, StoreDamaged, StoreUnusable
from refrain.streams.guards import MICROS
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.shard.behaviour import BEHAVIOUR
from refrain.streams.shard.counts import Count
from refrain.streams.shard.guard_words import GuardFinding
from refrain.streams.shard.state import Shard

HUNDREDTH = MICROS // 100
"""The least difference of similarities that a requester is told, in millionths."""
NOT_OF_A_RECORD = (ShardBroken, StoreDamaged, StoreUnusable, MemoryError)
"""Errors that are no record's doing: the next record would not fare better."""


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


def _depends(event: Asked | Passed) -> CountedDependence | None:
    depends = _found(event.depends) if isinstance(event, Asked) else None
    if depends is None:
        return None
    return CountedDependence(
        rules=depends.rules,
        volatile_words=len(depends.volatile),
        personal_words=len(depends.personal),
        named=depends.named,
    )


def _found(depends: Dependence | None) -> Dependence | None:
    """What the answer depends on; None where classify looked and found nothing."""
    return depends if depends is not None and (depends.volatile or depends.personal) else None


def summary(
    decision: Decision,
    *,
    guards: Iterable[GuardFinding] = (),
    depends: Dependence | None = None,
    show_similarity: bool = False,
) -> DecisionSummary:
    """Summary of a decision for the requester, with words of its own question alone.

    `guards` are those of the decision; similarities have two digits unless `show_similarity`.
    """
    digits = _all_digits if show_similarity else _two_digits
    return DecisionSummary.trusted(
        id=decision.id,
        partition=decision.partition,
        offset=decision.offset,
        category=decision.category,
        similarity=digits(decision.similarity, decision.threshold),
        score=digits(decision.score, decision.threshold),
        threshold=decision.threshold,
        policy_version=decision.policy_version,
        load=decision.load,
        entry_id=decision.entry_id,
        entry_age_ms=decision.entry_age_ms,
        stale=decision.stale,
        head_weight=digits(decision.head_weight, None),
        guards=tuple([each.told() for each in guards]),
        depends=_found(depends),
        reason=decision.reason.value,
    )


def _all_digits(value: float | None, threshold: float | None) -> float | None:
    return value


def _two_digits(value: float | None, threshold: float | None) -> float | None:
    """The value to two digits: upwards where it reaches the threshold, else downwards, so that it does not seem to."""
    if value is None:
        return None
    micros = round(value * MICROS)
    reaches = threshold is not None and value >= threshold
    return (-(-micros // HUNDREDTH) if reaches else micros // HUNDREDTH) / 100
