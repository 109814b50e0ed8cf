"""The best single policy: one threshold, lifetime and quota for all categories, found on recorded traffic.

What the paper claims for categories (arXiv 2510.26835) is that no single setting does as well.
"""

from __future__ import annotations

from refrain.ops.terminal import output
from refrain.ops.whatif.totals import Tally
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy, Quota

THRESHOLDS = (0.8, 0.85, 0.9, 0.95)
"""Tried for all categories, beside the lowest and the highest that the policy has."""
IN_FORCE = "in force"


def grid(policy: Policy) -> dict[str, Policy]:
    """Single policies by name, made of one in force: each threshold with its shortest and longest lifetime, and with
    its largest quota. What may not be kept stays so.
    """
    kept = [each for each in policy.categories.values() if each.cache is not Cacheable.NEVER]
    if not kept:
        return {}
    of_own = {min(each.threshold for each in kept), max(each.threshold for each in kept)}
    lifetimes = sorted({min(each.ttl_ms for each in kept), max(each.ttl_ms for each in kept)})
    cap = max(each.quota.cap for each in kept)
    return {
        f"{threshold:.2f}, {output.span(ttl_ms)}, {cap}": _single(policy, threshold, ttl_ms, cap)
        for threshold in sorted({*THRESHOLDS, *of_own})
        for ttl_ms in lifetimes
    }


def best(mine: Tally, singles: list[Tally]) -> Tally | None:
    """The single policy that saves most of models' time, of those that serve no more answers judged wrong."""
    wrong = mine.whole().wrong
    able = [each for each in singles if each.whole().wrong <= wrong]
    return max(able, key=lambda each: each.whole().saved_ms, default=None)


def _single(policy: Policy, threshold: float, ttl_ms: int, cap: int) -> Policy:
    def alike(category: CategoryPolicy) -> CategoryPolicy:
        return category.model_copy(
            update={
                "threshold": threshold,
                "threshold_floor": None,
                "threshold_ceiling": None,
                "ttl_ms": ttl_ms,
                "ttl_cap_ms": None,
                "quota": Quota(cap=cap),
                "priority": 1.0,
            }
        )

    categories = {
        name: each if each.cache is Cacheable.NEVER else alike(each) for name, each in policy.categories.items()
    }
    return policy.model_copy(update={"categories": categories})
