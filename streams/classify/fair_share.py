"""Fair share: which tenants ask for more vectors than their part of what can be embedded. Pure.

Max-min fairness, as of dealing in rounds: each tenant in turn gets one more, until nothing is left to deal; who wants
less than the others got has all of it, and those that want more share the rest evenly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

SPAN_MS = 1_000
"""How far back demand is looked at (exponentially weighted). A flood must show before its queue makes others late."""
DEALT_MAX = 0.9
"""The share of the demand that is dealt at most: that questions are late shows that not all of it can be embedded,
whatever a text is said to cost. So somebody always gets less than he wants, at least who wants most."""
JUST_ASKED = 0.5
"""What a demand is above its mean, on the mean, when its tenant has just asked (the sum falls in between)."""
TENANTS_MAX = 10_000
"""Tenants whose demand is remembered; beyond that the smaller half is forgotten."""
FORGOTTEN = 0.01
"""A demand below so many questions counts as none."""


class FairShare:
    """The demand of tenants for new vectors, by when their questions came: how quickly they are read does not show."""

    def __init__(self) -> None:
        self._demand: dict[str, float] = {}
        """Questions, each weighted by its age at `_as_of_ms`."""
        self._as_of_ms = 0
        self._level = self._most = math.inf

    def advance(self, newest_ms: int, now_ms: int) -> None:
        """Weigh all demand by its age when the newest question came; what is weighed to nothing is forgotten."""
        as_of_ms = max(newest_ms, min(self._as_of_ms, now_ms))
        kept = math.exp(min(0, self._as_of_ms - as_of_ms) / SPAN_MS)
        self._as_of_ms = as_of_ms
        self._demand = {tenant: kept * each for tenant, each in self._demand.items() if kept * each >= FORGOTTEN}
        if len(self._demand) > TENANTS_MAX:
            largest = sorted(self._demand, key=self._demand.__getitem__, reverse=True)
            self._demand = {tenant: self._demand[tenant] for tenant in largest[: TENANTS_MAX // 2]}

    def ask(self, tenant: str, came_ms: int) -> None:
        """A question of the tenant, which came no later than the newest one, asks for a new vector."""
        weight = math.exp(min(0, came_ms - self._as_of_ms) / SPAN_MS)
        self._demand[tenant] = self._demand.get(tenant, 0.0) + weight

    def deal(self, seconds_per_text: float | None) -> None:
        """Deal what can be embedded in a span; without a known cost, a part of what is asked."""
        demands = self._demand.values()
        self._most = max(demands, default=math.inf)
        supply = DEALT_MAX * sum(demands)
        if seconds_per_text:
            supply = min(supply, SPAN_MS / 1_000 / seconds_per_text)
        self._level = level(demands, supply)

    def is_over(self, tenant: str) -> bool:
        """Whether the tenant, which has just asked, wants more than it was dealt; who wants most always does."""
        demand = self._demand.get(tenant, 0.0)
        return demand >= self._most or demand - JUST_ASKED > self._level


def level(demands: Iterable[float], supply: float) -> float:
    """The most that anybody is dealt of the supply; infinite where it is enough for all."""
    wanted = sorted(demands)
    for place, demand in enumerate(wanted):
        each = supply / (len(wanted) - place)
        if demand > each:
            return each
        supply -= demand
    return math.inf
