"""Calibration: the lowest threshold whose false-hit rate provably stays within a budget. Pure.

The false-hit rate at a threshold is the share of its hits that are false. A threshold is *safe* when the exact upper
bound of that rate (Clopper and Pearson, see `refrain.ops.data.intervals`) is within the budget. Taking the lowest of
many safe thresholds would be wrong more often than the confidence says: of enough thresholds that are too low, one
looks safe by luck. So thresholds are tested one after another from the top, and a walk ends at the first that is not
safe ("fixed sequence testing with multiple starts", Angelopoulos, Bates, Candes, Jordan, Lei, "Learn then Test:
calibrating predictive algorithms to achieve risk control", arXiv 2110.01052, algorithm 1): then the chance that any
threshold found safe is too low is at most 1 - confidence, however many are walked.

A walk cannot start at the top, where too few hits are for any bound: it starts at the highest threshold with enough
hits, and with many pairs two more walks start where there are 4 and 16 times as many, each with its part of what the
confidence leaves. Starts depend on similarities alone, never on labels, and so do not spoil the test.

The bound takes pairs for a sample of those that come up in traffic, each judged by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from refrain.ops.data.intervals import PLACES, least, upper

STEPS_PER_ONE = 200
"""Thresholds lie 0.005 apart."""
TOP, BOTTOM = STEPS_PER_ONE, STEPS_PER_ONE // 2
"""From 1.0 to 0.5, below which no policy may go."""
START_AT = (1, 4, 16)
"""Where walks start, in multiples of the fewest hits that can pass."""


class Sample(NamedTuple):
    """Sample: a pair that the guards let through, or a judged hit."""

    similarity: float
    right: bool
    seen_from: float = 0.0
    """The threshold by which it was collected: below it such hits were never seen, so there it says nothing."""


class Tested(NamedTuple):
    """Tested threshold with its hits, false hits and bound."""

    threshold: float
    hits: int
    false_hits: int
    bound: float


class Calibrated(NamedTuple):
    """Calibration result of one category. Without a `threshold` nothing is proposed, and `why` says why."""

    threshold: float | None
    budget: float
    confidence: float
    hits: int
    false_hits: int
    bound: float | None
    samples: int
    needed: int
    """The fewest hits, all right, that the budget needs at this confidence; by Platt scaling about how many judged
    pairs it takes, 0 where more do not help."""
    why: str
    method: str = "exact"
    slope: float | None = None
    """The two numbers of Platt scaling: the chance to be right is 1 / (1 + exp(-(slope * similarity + offset)))."""
    offset: float | None = None

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        rounded = ("bound", "slope", "offset")
        return self._asdict() | {
            name: None if (value := getattr(self, name)) is None else round(value, PLACES) for name in rounded
        }


def calibrate(samples: Sequence[Sample], budget: float, confidence: float) -> Calibrated:
    """Calibrate: the lowest threshold found safe, or why there is none."""
    needed = least(budget, confidence)
    counted = _count_hits(samples)
    most, false = max(((each.hits, each.false_hits) for each in counted), default=(0, 0))
    none = Calibrated(None, budget, confidence, most, false, None, len(samples), needed, "")
    if most < needed:
        return none._replace(
            why=f"{most} hits are too few: with {needed}, none of them false, it could be shown; {needed - most} more"
            " are needed at least"
        )
    walks = _walks(counted, budget, confidence)
    safe = [tested for walk in walks for tested in walk.passed]
    if not safe:
        return _unsafe(none, next(walk.failed for walk in walks if walk.failed is not None))
    best = min(safe, key=lambda tested: tested.threshold)
    return none._replace(
        threshold=best.threshold,
        hits=best.hits,
        false_hits=best.false_hits,
        bound=best.bound,
        why=f"{best.false_hits} of {best.hits} hits are false, surely no more than {best.bound:.2%}",
    )


def _unsafe(none: Calibrated, first: Tested) -> Calibrated:
    return none._replace(
        hits=first.hits,
        false_hits=first.false_hits,
        bound=first.bound,
        why=f"at {first.threshold:g}, the strictest with enough hits, {first.false_hits} of {first.hits} are false:"
        f" it may be {first.bound:.2%}; guards, a verifier, more pairs or a larger budget may help",
    )


class _Walk(NamedTuple):
    passed: list[Tested]
    failed: Tested | None


class _Counted(NamedTuple):
    threshold: float
    hits: int
    false_hits: int


def _count_hits(samples: Sequence[Sample]) -> list[_Counted]:
    """Hits and false hits at each threshold, from the highest down to the lowest similarity that was seen."""
    if not samples:
        return []
    similarity = np.array([each.similarity for each in samples])
    false = np.array([not each.right for each in samples])
    seen_from = np.array([each.seen_from for each in samples])
    lowest = float(similarity.min())
    out = []
    for threshold in _thresholds(lowest):
        hit = (similarity >= threshold) & (seen_from <= threshold)
        out.append(_Counted(threshold, int(np.count_nonzero(hit)), int(np.count_nonzero(hit & false))))
    return out


def _thresholds(lowest: float) -> Iterator[float]:
    """Thresholds from 1.0 down to the lowest similarity, itself the last: nothing is known of what lies below."""
    yield from (step / STEPS_PER_ONE for step in range(TOP, BOTTOM - 1, -1) if step / STEPS_PER_ONE > lowest)
    if lowest >= BOTTOM / STEPS_PER_ONE:
        yield lowest


def _walks(counted: Sequence[_Counted], budget: float, confidence: float) -> list[_Walk]:
    starts, level = _starts([each.hits for each in counted], budget, confidence)
    return [_walk(counted[start:], budget, level) for start in starts]


def _starts(hits: Sequence[int], budget: float, confidence: float) -> tuple[list[int], float]:
    """Starts of the walks, and the confidence of each test: as many walks as there are hits for."""
    for count in range(len(START_AT), 0, -1):
        level = 1 - (1 - confidence) / count
        needed = least(budget, level)
        if max(hits) >= START_AT[count - 1] * needed:
            wanted = [times * needed for times in START_AT[:count]]
            return sorted({next(n for n, each in enumerate(hits) if each >= want) for want in wanted}), level
    raise ValueError("too few hits for one walk")


def _walk(counted: Iterable[_Counted], budget: float, level: float) -> _Walk:
    passed: list[Tested] = []
    for each in counted:
        tested = Tested(*each, upper(each.false_hits, each.hits, level))
        if tested.bound > budget:
            return _Walk(passed, tested)
        passed.append(tested)
    return _Walk(passed, None)
