"""Precision, recall and false hits of labelled pairs at thresholds, and the best recall at a precision.

A pair is served at a threshold when its similarity is not below it and its stage lets it through. Precision: of what is
served, what asks the same. Recall: of what asks the same, what is served. False-hit rate: of what asks something else,
what is served. Each comes with its exact binomial interval.

The best recall at a precision is sought over every similarity that occurs, so its threshold fits these pairs: the
interval of a share at one threshold would be too narrow. Its interval is the percentile bootstrap's (Efron, "Bootstrap
methods: another look at the jackknife", Annals of Statistics 7, 1979): pairs are drawn again with repeats, and each
time the best threshold is sought anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.ops.data.intervals import CONFIDENCE, PLACES, share
from refrain.ops.quality.stages import FLOOR, Mask

THRESHOLDS = tuple(round(0.70 + step / 100, 2) for step in range(30))
PRECISIONS = (0.90, 0.95, 0.99)
DRAWS = 1_000
SEED = 5

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Labelled(NamedTuple):
    """Pairs as numbers: similarity (n), whether both ask the same (n), and which may be served at all (n)."""

    similarities: Numbers
    same: Mask
    passing: Mask

    def served(self, threshold: float) -> Mask:
        """Mask of the pairs that are served at a threshold."""
        served: Mask = self.passing & (self.similarities >= threshold)
        return served


class Best(NamedTuple):
    """The best recall with at least a precision; without a threshold none reaches it."""

    precision: float
    threshold: float | None
    true_hits: int
    false_hits: int
    low: float
    high: float


def at(pairs: Labelled, threshold: float) -> dict[str, Any]:
    """Figures at one threshold, for JSON."""
    served = pairs.served(threshold)
    positives = int(np.count_nonzero(pairs.same))
    hits, false = int(np.count_nonzero(served & pairs.same)), int(np.count_nonzero(served & ~pairs.same))
    return {
        "threshold": threshold,
        "served": hits + false,
        "true_hits": hits,
        "false_hits": false,
        "precision": share(hits, hits + false).to_json(),
        "recall": share(hits, positives).to_json(),
        "false_hit_rate": share(false, len(pairs.same) - positives).to_json(),
    }


def best_recalls(
    pairs: Labelled, precisions: Sequence[float] = PRECISIONS, draws: int = DRAWS, seed: int = SEED
) -> list[Best]:
    """For each precision the threshold (not below FLOOR) with the best recall, and the recall's interval."""
    order, ends = _ordered(pairs)
    positives = int(np.count_nonzero(pairs.same))
    once = np.ones(len(pairs.same), dtype=np.int64)
    hits, served = _sums(once, pairs.same, order, ends)
    spread = _bootstrapped(pairs, order, ends, precisions, draws, seed)
    tail = 100 * (1 - CONFIDENCE) / 2
    found = []
    for number, precision in enumerate(precisions):
        place = _best(hits, served, precision)
        low, high = (0.0, 1.0) if positives == 0 else np.percentile(spread[:, number], [tail, 100 - tail])
        if place is None:
            found.append(Best(precision, None, 0, 0, float(low), float(high)))
        else:
            threshold = float(pairs.similarities[order[ends[place]]])
            right = int(hits[place])
            found.append(Best(precision, threshold, right, int(served[place]) - right, float(low), float(high)))
    return found


def to_json(best: Best, positives: int) -> dict[str, Any]:
    """The best recall at a precision, for JSON; its recall is 0 where no threshold reaches the precision."""
    got = None if positives == 0 else round(best.true_hits / positives, PLACES)
    return {
        "precision": best.precision,
        "threshold": best.threshold,
        "served": best.true_hits + best.false_hits,
        "recall": {
            "value": got,
            "low": round(best.low, PLACES),
            "high": round(best.high, PLACES),
            "count": best.true_hits,
            "of": positives,
        },
        "precision_reached": share(best.true_hits, best.true_hits + best.false_hits).to_json(),
    }


def figures(pairs: Labelled) -> dict[str, Any]:
    """All figures of one stage, for JSON."""
    positives = int(np.count_nonzero(pairs.same))
    return {
        "thresholds": [at(pairs, threshold) for threshold in THRESHOLDS],
        "best_recall": [to_json(best, positives) for best in best_recalls(pairs)],
    }


def curve(pairs: Labelled) -> tuple[list[float], list[float]]:
    """Recall and precision at every similarity that occurs, from the highest: what a plot shows."""
    order, ends = _ordered(pairs)
    hits, served = _sums(np.ones(len(pairs.same), dtype=np.int64), pairs.same, order, ends)
    positives = max(1, int(np.count_nonzero(pairs.same)))
    return (hits / positives).tolist(), (hits / served).tolist()


def shares_by(pairs: Labelled, groups: dict[str, Mask]) -> dict[str, list[dict[str, Any]]]:
    """For each group the share of its pairs that is served at each threshold, for JSON."""
    return {
        name: [
            {"threshold": threshold, **share(_count(pairs.served(threshold) & mine), _count(mine)).to_json()}
            for threshold in THRESHOLDS
        ]
        for name, mine in groups.items()
    }


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _ordered(pairs: Labelled) -> tuple[Counts, Counts]:
    """The pairs that may be served by falling similarity, and in that order the last place of each similarity."""
    may = np.flatnonzero(pairs.passing & (pairs.similarities >= FLOOR))
    order = may[np.argsort(-pairs.similarities[may], kind="stable")]
    falling = pairs.similarities[order]
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(order) else np.zeros(0, dtype=np.int64)
    return order, ends


def _sums(weights: Counts, same: Mask, order: Counts, ends: Counts) -> tuple[Counts, Counts]:
    """True hits and all hits at the threshold of each similarity, each pair counted by its weight."""
    mine = weights[order]
    return np.cumsum(mine * same[order])[ends], np.cumsum(mine)[ends]


def _best(hits: Counts, served: Counts, precision: float) -> int | None:
    """The place with the most true hits among those of the precision, the first of equals: the highest threshold."""
    enough = (served > 0) & (hits >= 1) & (hits / np.maximum(served, 1) >= precision)
    return int(np.argmax(np.where(enough, hits, -1))) if enough.any() else None


def _bootstrapped(
    pairs: Labelled, order: Counts, ends: Counts, precisions: Sequence[float], draws: int, seed: int
) -> Numbers:
    """The best recall at each precision (draws, precisions) over pairs drawn again."""
    generator = np.random.default_rng(seed)
    size = len(pairs.same)
    found = np.zeros((draws, len(precisions)))
    for draw in range(draws):
        weights = np.bincount(generator.integers(size, size=size), minlength=size)
        hits, served = _sums(weights, pairs.same, order, ends)
        positives = max(1, int(weights[pairs.same].sum()))
        for number, precision in enumerate(precisions):
            place = _best(hits, served, precision)
            found[draw, number] = 0.0 if place is None else hits[place] / positives
    return found
