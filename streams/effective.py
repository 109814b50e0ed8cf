"""Threshold and lifetime as they are at this moment: the base of the policy, moved by the load of the model.

Formulas: DESIGN of Refrain, after "Category-Aware Semantic Caching for Heterogeneous LLM Workloads" (arXiv 2510.26835).
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.policy import CategoryPolicy

PLACES = 6


class Effective(NamedTuple):
    """What a decision is made by."""

    threshold: float
    ttl_ms: int
    load: float


def effective(policy: CategoryPolicy, load: float) -> Effective:
    """Threshold and lifetime (ms) at a load between 0 and 1.

    threshold(load) = max(floor, threshold - load * (threshold - floor))
    ttl(load)       = min(cap, ttl * (1 + load * (cap / ttl - 1)))
    """
    floor = policy.threshold if policy.threshold_floor is None else policy.threshold_floor
    cap = policy.ttl_ms if policy.ttl_cap_ms is None else policy.ttl_cap_ms
    threshold = max(floor, policy.threshold - load * (policy.threshold - floor))
    ttl_ms = min(cap, policy.ttl_ms * (1 + load * (cap / policy.ttl_ms - 1)))
    return Effective(round(threshold, PLACES), int(ttl_ms), load)


def stricter(mine: Effective, threshold: float, ttl_ms: int) -> Effective:
    """The stricter of what holds here and what another policy said."""
    return Effective(max(mine.threshold, round(threshold, PLACES)), min(mine.ttl_ms, ttl_ms), mine.load)
