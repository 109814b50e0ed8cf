"""The floor under which a question is out of scope, and the curve that it lies on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.categories import PLACES
from streams.errors import BadInput

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Floor(NamedTuple):
    """A floor, and what it does to examples that the models had not seen."""

    score: float
    kept: float
    """The share of in-scope examples at or above it that are in their category."""
    rejected: float | None
    """The share of the examples outside that are below it; None without any."""


def area(scores: Array, right: Flags, inside: Flags) -> float:
    """How well the score tells the examples in scope and right from those outside, 0 to 1; without any outside: the
    share that is right.

    It is the area under the curve of open-set classification rate over false positives (Dhamija et al., "Reducing
    Network Agnostophobia", NeurIPS 2018): the share of pairs of an in-scope example and one outside in which the first
    is right and scores more.
    """
    if inside.all():
        return float(right.mean())
    good = np.sort(scores[inside & right])
    above = len(good) - np.searchsorted(good, scores[~inside], side="right")
    return float(above.mean() / inside.sum())


def floor_for(scores: Array, right: Flags, inside: Flags, keep: float) -> Floor:
    """The floor that keeps at least `keep` of the in-scope examples in their category.

    Of such floors it is the one where the shares kept and rejected add up to most, so that no question is given up that
    buys nothing; without examples outside, the highest. Where fewer than `keep` are right at all, `keep` of the right
    ones are kept. Raises BadInput when none is.
    """
    good = np.sort(np.round(scores[inside & right], PLACES))[::-1]
    if not len(good):
        raise BadInput("no held-out example lands in its category: look whether text and category belong together")
    accuracy = len(good) / inside.sum()
    wanted = keep if keep <= accuracy else keep * accuracy
    first = max(int(np.ceil(wanted * inside.sum() - 1e-9)), 1) - 1
    outside = np.sort(np.round(scores[~inside], PLACES))
    if not len(outside):
        return Floor(float(good[first]), float((good >= good[first]).sum() / inside.sum()), None)
    floors = good[first:]
    kept = np.searchsorted(-good, -floors, side="right") / inside.sum()
    rejected = np.searchsorted(outside, floors, side="left") / len(outside)
    at = int(np.argmax(kept + rejected))
    return Floor(float(floors[at]), float(kept[at]), float(rejected[at]))
