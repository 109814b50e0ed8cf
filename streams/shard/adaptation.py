"""Adaptive threshold and lifetime: the policy's base, moved by the load of the model and by judged hits. Pure.

Formulas: DESIGN of Refrain, after "Category-Aware Semantic Caching for Heterogeneous LLM Workloads" (arXiv 2510.26835).
"""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.journal import Seen
from refrain.schemas.policy import CategoryPolicy

PLACES = 6
LIFETIME_MAX_MS = 2**63
"""The longest lifetime: a policy may name any number, also one that no float can be."""
RIGHT_AT_FIRST = 10
"""Judgements that stand for a category of which few hits are judged: one wrong hit alone says little."""
TIGHTEN_RIGHT_AT_FIRST = 100
"""The same for the base threshold: one judgement alone does not move it."""
JUDGED_MAX = 200
"""Judgements that count, the last ones of a category."""


class Adapted(NamedTuple):
    """Threshold (cosine similarity) and lifetime (ms) at a load."""

    threshold: float
    ttl_ms: int
    load: float


def adapted(policy: CategoryPolicy, load: float, relaxation: float = 1.0) -> Adapted:
    """Threshold and lifetime (ms) at a load between 0 and 1, of which `relaxation` (0 to 1) takes effect.

    threshold(load) = max(floor, threshold - load * (threshold - floor))
    ttl(load)       = min(cap, ttl * (1 + load * (cap / ttl - 1)))
    """
    floor = policy.threshold if policy.threshold_floor is None else policy.threshold_floor
    ttl_ms = min(policy.ttl_ms, LIFETIME_MAX_MS)
    cap = ttl_ms if policy.ttl_cap_ms is None else min(policy.ttl_cap_ms, LIFETIME_MAX_MS)
    felt = load * relaxation
    threshold = max(floor, policy.threshold - felt * (policy.threshold - floor))
    lives_ms = min(cap, ttl_ms * (1 + felt * (cap / ttl_ms - 1)))
    return Adapted(round(threshold, PLACES), int(lives_ms), load)


def relaxation(recent: str, bound: float) -> float:
    """Relaxation (0 to 1): how far load may relax a category.

    `recent` are its last judgements (1 right, 0 wrong), oldest first. Fully while the share of wrong ones, among them
    and RIGHT_AT_FIRST right ones, is within `bound`; then by as much less as the share passes it.
    """
    share = recent.count("0") / (len(recent) + RIGHT_AT_FIRST)
    return 1.0 if share <= bound else bound / share


def tighten(recent: str, budget: float) -> float:
    """Tightening (0 to 1): how far judged hits push a category's threshold towards its ceiling.

    Not at all while the share of wrong ones, among them and TIGHTEN_RIGHT_AT_FIRST right ones, is within the error
    budget; then by as much of the way as the share is beyond it.
    """
    share = recent.count("0") / (len(recent) + TIGHTEN_RIGHT_AT_FIRST)
    return 0.0 if share <= budget else 1.0 - budget / share


def tightened(policy: CategoryPolicy, recent: str) -> CategoryPolicy:
    """The policy with the threshold that the last judgements (see `relaxation`) leave it: between base and ceiling."""
    if policy.threshold_ceiling is None:
        return policy
    way = tighten(recent, policy.error_budget)
    threshold = round(policy.threshold + way * (policy.threshold_ceiling - policy.threshold), PLACES)
    return policy.model_copy(update={"threshold": threshold}) if way else policy


def lifetime_max(policy: CategoryPolicy) -> int:
    """Longest lifetime (ms) of an entry: under full load, plus the time it may be served stale."""
    return max(policy.ttl_ms, policy.ttl_cap_ms or 0) + policy.stale_while_revalidate_ms


class TermsInForce(NamedTuple):
    """The terms in force for a category."""

    policy: CategoryPolicy
    """With the threshold that its judgements leave it."""
    now: Adapted
    base: Adapted
    """What would hold at load 0."""
    relaxation: float
    """How far load may move the category: 1 fully."""


def terms(policy: CategoryPolicy, judged: str, load: float, classified: Seen | None = None) -> TermsInForce:
    """The terms of a category after its last judgements (see `relaxation`), at a load between 0 and 1.

    `classified` is what the policy said under which a question was classified: the stricter of both holds.
    """
    policy = tightened(policy, judged)
    relaxed = relaxation(judged, policy.false_hit_bound)
    return _under(TermsInForce(policy, adapted(policy, load, relaxed), adapted(policy, 0.0), relaxed), classified)


class KnownTerms:
    """The terms of each category as they were asked for last: they change with policies, judgements and loads alone."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[CategoryPolicy, str, float, TermsInForce]] = {}

    def of(self, name: str, policy: CategoryPolicy, judged: str, load: float, classified: Seen | None) -> TermsInForce:
        """`terms` of the category of that name."""
        known = self._known.get(name)
        if known is None or known[0] is not policy or known[1] != judged or known[2] != load:
            known = self._known[name] = (policy, judged, load, terms(policy, judged, load))
        return _under(known[3], classified)


def _under(in_force: TermsInForce, classified: Seen | None) -> TermsInForce:
    if classified is None:
        return in_force
    now, base = _stricter(in_force.now, classified), _stricter(in_force.base, classified)
    return in_force._replace(now=now, base=base)


def _stricter(mine: Adapted, classified: Seen) -> Adapted:
    return Adapted(
        max(mine.threshold, round(classified.threshold, PLACES)), min(mine.ttl_ms, classified.ttl_ms), mine.load
    )
