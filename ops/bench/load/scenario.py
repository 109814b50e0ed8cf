"""Scenario of `refrain bench load`: categories, phases, the model's capacity, and the policy.

Shares, hit rates, thresholds and lifetimes of the categories are those of "Category-Aware Semantic Caching for
Heterogeneous LLM Workloads" (arXiv 2510.26835) where it has them; all else is chosen here, and told with the figures.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from refrain.schemas.policy import CategoryPolicy, ModelPolicy, Policy, Quota
from refrain.schemas.policy_limits import Limits

CODER, GENERAL = "coder", "general"
"""Two models: one for the two dense categories, which gets overloaded, and one for the rest, which does not."""
DAY_S = 240.0
"""A day of the paper's lifetimes takes so long here: answers grow old within a run, and a calm run without adaptation
hits not much less often than in the paper."""
HITS_A_REPEAT = 0.8
"""Of the questions that repeat an earlier one this share is taken to hit: the others are expired or worded too unlike.

So a category repeats hit rate / HITS_A_REPEAT of its questions.
"""
REWORDED = 1 / 3
"""The share of repeats that come in other words; the rest come in the same."""
NEAR_MISSES = 0.5
"""Questions that only look like an earlier one, for each reworded repeat."""
ZIPF = 1.0
KNOWN = 2_000
"""Questions asked and answered before the start, each category's evenly over its lifetime."""
START_MS = 100_000_000

SLOTS = 6
"""Calls that the overloaded model works on at once; more wait there."""
GENERAL_SLOTS = 64
MEDIAN_MS = 3_000.0
SIGMA = 0.4
"""Lognormal times of service: 3.25 s on average, 95% within 5.8 s."""
CALLS_A_SLOT = 2
"""Calls that the connector keeps open, for each that the model works on."""
LATENCY_TARGET_MS = 8_000.0
"""A third above the 95th percentile of a call that does not wait."""
TIMEOUT_MS = 30_000
"""How long a client waits for its answer."""


class Category(NamedTuple):
    """A category: `share` of the traffic, `hit_rate` in the paper, and mean time between changes of an answer."""

    name: str
    share: float
    hit_rate: float
    model: str
    threshold: float
    ttl_s: float
    changes_s: float
    floor: float | None = None
    ttl_cap_s: float | None = None


CATEGORIES = (
    Category("code", 0.35, 0.55, CODER, 0.90, 7 * DAY_S, 30 * DAY_S, 0.85, 14 * DAY_S),
    Category("api-docs", 0.25, 0.45, CODER, 0.88, 7 * DAY_S, 30 * DAY_S, 0.85, 14 * DAY_S),
    Category("conversation", 0.15, 0.12, GENERAL, 0.76, 3 * DAY_S, 60 * DAY_S),
    # Market data lives for 5 minutes in the paper: with its days so short, nothing would ever hit.
    Category("finance", 0.10, 0.08, GENERAL, 0.88, 0.5 * DAY_S, 1 * DAY_S),
    Category("legal", 0.08, 0.10, GENERAL, 0.90, 3 * DAY_S, 90 * DAY_S),
    Category("medical", 0.04, 0.06, GENERAL, 0.90, 3 * DAY_S, 60 * DAY_S),
    Category("specialised", 0.03, 0.07, GENERAL, 0.90, 3 * DAY_S, 60 * DAY_S),
)


class Phase(NamedTuple):
    """A time of constant demand: `demand` times what the overloaded model can take, by the paper's hit rates."""

    name: str
    seconds: float
    demand: float


PHASES = (
    Phase("calm", 480, 0.65),
    Phase("overload", 480, 1.35),
    Phase("recovery", 240, 0.65),
    Phase("edge", 300, 1.0),
    Phase("rest", 180, 0.65),
)
"""`overload` is more than relaxation can make up for; at the `edge` it decides whether the model is over its targets.

Hit rates come out a little under the paper's, so the model is asked a tenth more than `demand` says.
"""


def mean_service_s() -> float:
    """The mean of the lognormal times of service."""
    return MEDIAN_MS / 1_000 * math.exp(SIGMA**2 / 2)


def capacity_rps() -> float:
    """Requests a second, of all categories, at which the overloaded model is busy: by the paper's hit rates."""
    forwarded = sum(c.share * (1 - c.hit_rate) for c in CATEGORIES if c.model == CODER)
    return SLOTS / mean_service_s() / forwarded


def slots_of(model: str) -> int:
    """Calls that a model works on at once."""
    return SLOTS if model == CODER else GENERAL_SLOTS


def policy() -> Policy:
    """The paper's figures as a policy, with room for all: eviction is another bench's."""
    cap = Limits().entries_max
    return Policy(
        categories={
            each.name: CategoryPolicy(
                threshold=each.threshold,
                threshold_floor=each.floor,
                ttl_ms=millis(each.ttl_s),
                ttl_cap_ms=None if each.ttl_cap_s is None else millis(each.ttl_cap_s),
                quota=Quota(cap=cap),
            )
            for each in CATEGORIES
        },
        models={
            model: ModelPolicy(latency_target_ms=LATENCY_TARGET_MS, queue_target=CALLS_A_SLOT * slots_of(model))
            for model in (CODER, GENERAL)
        },
        limits=Limits(answer_timeout_ms=TIMEOUT_MS),
    )


def millis(seconds: float) -> int:
    """Seconds as whole milliseconds."""
    return round(seconds * 1_000)
