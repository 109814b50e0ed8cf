"""Calibration by Platt scaling: the lowest threshold whose expected false-hit rate is within a budget. Pure.

A sigmoid is fitted to judged pairs (`refrain.ops.quality.platt`). The false-hit rate to expect at a threshold is the
mean of 1 - chance over the pairs at or above it. So all pairs say something of every threshold, and 100 to 200 pairs
from around the threshold suffice where an exact interval needs hundreds of hits above it: the price is that the chances
must really follow a sigmoid.

How sure that is comes from the bootstrap (Efron, Annals of Statistics 7, 1979): pairs are drawn again with repeats, the
sigmoid is fitted anew, and a threshold is proposed when the expected rate is within the budget in the share of the
draws that the confidence names. Nothing is said of thresholds above the highest or below the lowest similarity seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from refrain.ops.quality.calibration import BOTTOM, STEPS_PER_ONE, TOP, Calibrated, Sample
from refrain.ops.quality.platt import Labels, Numbers, Sigmoid, fit

EACH_MIN = 10
"""Pairs of either label that a fit needs: ten of the rarer one for each thing that is fitted beside the offset (Peduzzi
and others, "A simulation study of the number of events per variable in logistic regression analysis", Journal of
Clinical Epidemiology 49, 1996)."""
FINER = 5
"""Thresholds lie 0.001 apart: each of the steps of the exact method in five."""
STEPS = FINER * STEPS_PER_ONE
DRAWS = 400
SEED = 7
ROUNDING = 1e-6
"""What a sum of weights may be off by where nothing is."""
MORE_MAX = 100_000
"""A need beyond this is none that anybody could meet."""


class Judged(NamedTuple):
    """Judged pairs as numbers: similarity (n), whether right (n), and the lowest step each was collected at (n)."""

    similarities: Numbers
    right: Labels
    first: Numbers

    @property
    def counts(self) -> tuple[int, int]:
        """Pairs of label 1 and of label 0."""
        ones = int(np.count_nonzero(self.right))
        return ones, len(self.right) - ones


class Fitted(NamedTuple):
    """The fit of all pairs, and of each draw the false-hit rate that it expects at every step (steps; draws, steps)."""

    sigmoid: Sigmoid
    expected: Numbers
    drawn: Numbers
    slopes: Numbers


def calibrate_by_platt(samples: Sequence[Sample], budget: float, confidence: float) -> Calibrated:
    """Calibrate: the lowest threshold whose expected rate is surely within the budget, or why there is none."""
    judged = _judged(samples)
    none = Calibrated(None, budget, confidence, 0, 0, None, len(samples), 0, "", "platt")
    lacking = labels_lacking(samples)
    if lacking is not None:
        return none._replace(needed=len(samples) + lacking[0], why=lacking[1])
    fitted = _fit(judged)
    none = none._replace(slope=fitted.sigmoid.slope, offset=fitted.sigmoid.offset)
    unsure = _unsure_of_slope(fitted, len(samples), confidence)
    if unsure is not None:
        return none._replace(needed=unsure[0], why=unsure[1])
    bounds = np.quantile(fitted.drawn, confidence, axis=0)
    steps = _steps(judged)
    safe = [step for step in steps if bounds[step] <= budget]
    if not safe:
        return _none_is_safe(none, fitted, bounds, steps, judged)
    return _proposed(none, fitted, bounds, safe[0], judged)


def labels_lacking(samples: Sequence[Sample]) -> tuple[int, str] | None:
    """How many pairs are lacking for a fit and of which label; None when there are enough of both."""
    ones = sum(each.right for each in samples)
    zeros = len(samples) - ones
    lacking = {label: EACH_MIN - count for label, count in ((1, ones), (0, zeros)) if count < EACH_MIN}
    if not lacking:
        return None
    wanted = " and ".join(f"{count} more of label {label} ({_MEANS[label]})" for label, count in lacking.items())
    return sum(lacking.values()), (
        f"{ones} judged right and {zeros} judged wrong are too few: a fit needs {EACH_MIN} of either label among what"
        f" would be served, so judge {wanted}, from around the threshold"
    )


_MEANS = {1: "asks the same", 0: "does not"}


def _judged(samples: Sequence[Sample]) -> Judged:
    return Judged(
        np.array([each.similarity for each in samples], dtype=np.float64),
        np.array([each.right for each in samples], dtype=np.bool_),
        np.array([math.ceil(round(each.seen_from * STEPS, 6)) for each in samples], dtype=np.int64),
    )


def _fit(judged: Judged) -> Fitted:
    generator = np.random.default_rng(SEED)
    size = len(judged.right)
    once = np.ones(size)
    sigmoid = fit(judged.similarities, judged.right)
    drawn, slopes = np.zeros((DRAWS, TOP * FINER + 1)), np.zeros(DRAWS)
    for number in range(DRAWS):
        weights = np.bincount(generator.integers(size, size=size), minlength=size).astype(np.float64)
        again = fit(judged.similarities, judged.right, weights, sigmoid)
        drawn[number], slopes[number] = _expected(again, judged, weights), again.slope
    return Fitted(sigmoid, _expected(sigmoid, judged, once), drawn, slopes)


def _expected(sigmoid: Sigmoid, judged: Judged, weights: Numbers) -> Numbers:
    """The false-hit rate to expect at each step from 0 to 1 (steps), where no pair is that of the step alone."""
    false = _sums_at_steps(weights * (1 - sigmoid.chances(judged.similarities)), judged)
    served = _sums_at_steps(weights, judged)
    alone = 1 - sigmoid.chances(np.arange(len(served)) / STEPS)
    found: Numbers = np.divide(false, served, out=alone, where=served > ROUNDING)
    return found


def _sums_at_steps(weights: Numbers, judged: Judged) -> Numbers:
    """At every step the weight of the pairs that are served there and were collected at or below it (steps)."""
    length = TOP * FINER + 2
    last = np.floor(np.round(judged.similarities * STEPS, 6)).astype(np.int64).clip(0, length - 2)
    counts = last >= judged.first
    begin = np.bincount(judged.first[counts], weights[counts], length)
    end = np.bincount(last[counts] + 1, weights[counts], length)
    summed: Numbers = np.cumsum(begin - end)[:-1]
    return summed


def _steps(judged: Judged) -> list[int]:
    """Steps at which a pair was seen, from the lowest similarity on, and none that a policy may not set."""
    lowest = max(BOTTOM * FINER, math.ceil(round(float(judged.similarities.min()) * STEPS, 6)))
    seen = _sums_at_steps(np.ones(len(judged.right)), judged)
    return [step for step in range(lowest, len(seen)) if seen[step] > 0]


def _unsure_of_slope(fitted: Fitted, size: int, confidence: float) -> tuple[int, str] | None:
    """The need and why where it is not sure that the more similar are right more often; None where it is."""
    rising = float((fitted.slopes > 0).mean())
    if rising >= confidence:
        return None
    middle, spread = float(fitted.slopes.mean()), float(fitted.slopes.std())
    if middle <= 0:
        return (
            0,
            "the more similar pairs are not right more often: no threshold tells them apart; guards or a verifier may",
        )
    more = _more(size, NormalDist().inv_cdf(confidence) * spread / middle)
    return size + more, (
        f"{size} judged pairs are too few: that the more similar are right more often holds in only {rising:.0%} of the"
        f" draws; judge about {more} more, of both labels, from a wider range of similarities"
    )


def _none_is_safe(
    none: Calibrated, fitted: Fitted, bounds: Numbers, steps: Sequence[int], judged: Judged
) -> Calibrated:
    """Told at the step that is expected to be the best."""
    best = min(steps, key=lambda step: (fitted.expected[step], step))
    told = _told(none, bounds, best, judged)
    expected, bound = float(fitted.expected[best]), float(bounds[best])
    if expected >= none.budget:
        return told._replace(
            why=f"even at {best / STEPS:g}, near the highest similarity that was judged, {expected:.2%} are expected to"
            " be false: more pairs do not change that; guards, a verifier or a larger budget may"
        )
    more = _more(none.samples, (bound - expected) / (none.budget - expected))
    ones, zeros = judged.counts
    rarer = 0 if zeros <= ones else 1
    return told._replace(
        needed=none.samples + more,
        why=f"{none.samples} judged pairs are too few: at {best / STEPS:g} {expected:.2%} are expected to be false, but"
        f" it may be {bound:.2%}; judge about {more} more from around it, above all of label {rarer} ({_MEANS[rarer]}),"
        f" of which there are {min(ones, zeros)}",
    )


def _proposed(none: Calibrated, fitted: Fitted, bounds: Numbers, step: int, judged: Judged) -> Calibrated:
    told = _told(none, bounds, step, judged)
    return told._replace(
        threshold=step / STEPS,
        needed=none.samples,
        why=f"{told.false_hits} of {told.hits} hits are false; {float(fitted.expected[step]):.2%} are expected to be,"
        f" no more than {float(bounds[step]):.2%} in {none.confidence:.0%} of the draws",
    )


def _told(none: Calibrated, bounds: Numbers, step: int, judged: Judged) -> Calibrated:
    """The hits that were judged at a step, and the bound of what is expected there."""
    hits = int(_sums_at_steps(np.ones(len(judged.right)), judged)[step])
    false = int(_sums_at_steps((~judged.right).astype(np.float64), judged)[step])
    return none._replace(hits=hits, false_hits=false, bound=float(bounds[step]))


def _more(size: int, ratio: float) -> int:
    """Pairs to add to make an uncertainty, which shrinks with the root of their number, `ratio` times smaller."""
    return min(MORE_MAX, max(1, math.ceil(size * (ratio**2 - 1))))
