"""Derives how the threshold in force came about: by the policy, by judgements, by load. Pure."""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.decisions import Decision
from refrain.schemas.policy import CategoryPolicy


class Step(NamedTuple):
    """A step on the way to the threshold in force: what moved it, and to where (cosine similarity)."""

    by: str
    threshold: float


def steps(decision: Decision, policy: CategoryPolicy | None) -> list[Step]:
    """The steps, the policy's own first. Without the policy only those that the decision tells."""
    base, now = decision.base_threshold, decision.threshold
    out = []
    if policy is not None:
        out.append(Step("the policy", policy.threshold))
        if base is not None and base > policy.threshold:
            out.append(Step("judged hits, or the policy under which the question was classified", base))
    elif base is not None:
        out.append(Step("policy and judgements", base))
    if now is not None and base is not None and now != base:
        out.append(Step(f"a load of {decision.load:g}{_held_back(decision, policy)}", now))
    return out


def relaxation(decision: Decision, policy: CategoryPolicy | None) -> float | None:
    """How much of the load took effect (0 to 1), by what is left of the threshold; None where that cannot be told.

    threshold = base - load * relaxation * (base - floor)
    """
    base, now = decision.base_threshold, decision.threshold
    if policy is None or policy.threshold_floor is None or base is None or now is None:
        return None
    way = decision.load * (base - policy.threshold_floor)
    return None if way <= 0 else min(1.0, max(0.0, (base - now) / way))


def _held_back(decision: Decision, policy: CategoryPolicy | None) -> str:
    took = relaxation(decision, policy)
    if took is None or took > 0.999:
        return ""
    return f", of which false hits let {took:.0%} take effect"
