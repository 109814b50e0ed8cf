"""Score floor under which a question is out of scope, and the area under the OSCR curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.streams.errors import BadInput
from refrain.streams.models.category_classifier import PLACES

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.intp]
ROUNDING = 1e-9
"""What a share times a count may be off a whole number."""


class Floor(NamedTuple):
    """Score floor, and what it does to held-out examples."""

    score: float
    kept: float
    """The share of in-scope examples at or above it that are in their category."""
    rejected: float | None
    """The share of the examples outside that are below it; None without any."""


def area(scores: Array, right: Flags, inside: Flags) -> float:
    """Area under the OSCR curve (0 to 1): how well the score tells right in-scope examples from those outside.

    Without any outside: the share that is right. The curve is the open-set classification rate over false positives
    (Dhamija et al., "Reducing Network Agnostophobia", NeurIPS 2018); its area is the share of pairs of an in-scope
    example and one outside in which the first is right and scores more.
    """
    if inside.all():
        return float(right.mean())
    good = np.sort(scores[inside & right])
    above = len(good) - np.searchsorted(good, scores[~inside], side="right")
    return float(above.mean() / inside.sum())


def floor_for(scores: Array, right: Flags, inside: Flags, block: Numbers, keep: float) -> Floor:
    """The floor that keeps at least `keep` of the in-scope examples of every block in their category.

    Blocks differ as what is asked later differs from all of them: so the worst one counts, and not their mean. Of
    such floors it is the one where the shares kept and rejected add up to most, so that no question is given up that
    buys nothing; without examples outside, the highest. Where fewer than `keep` are right at all, `keep` of the right
    ones are kept. Raises BadInput when none is.
    """
    scores = np.round(scores, PLACES)
    blocks = [inside & (block == at) for at in np.unique(block)]
    limits = [_highest(scores[part & right], int(part.sum()), keep) for part in blocks if (part & right).any()]
    if not limits:
        raise BadInput("no held-out example lands in its category: look whether text and category belong together")
    good = np.sort(scores[inside & right])
    # With the limit as the last of them, as it is a score of an example that is right.
    floors = np.unique(good[good <= min(limits)])
    kept = (len(good) - np.searchsorted(good, floors, side="left")) / inside.sum()
    if inside.all():
        return Floor(float(floors[-1]), float(kept[-1]), None)
    outside = np.sort(scores[~inside])
    rejected = np.searchsorted(outside, floors, side="left") / len(outside)
    # Of equal sums the highest floor: it rejects more.
    at = len(floors) - 1 - int(np.argmax((kept + rejected)[::-1]))
    return Floor(float(floors[at]), float(kept[at]), float(rejected[at]))


def _highest(good: Array, total: int, keep: float) -> float:
    """The highest floor that keeps enough of the scores of those that are right, `total` being in scope."""
    accuracy = len(good) / total
    wanted = keep if keep <= accuracy else keep * accuracy
    return float(np.sort(good)[::-1][max(int(np.ceil(wanted * total - ROUNDING)), 1) - 1])
