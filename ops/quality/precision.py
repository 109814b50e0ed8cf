"""Precision, recall and false hits of labelled pairs at thresholds, and the best recall at a precision.

A pair is served at a threshold when its similarity is not below it and its stage lets it through. Precision: of what is
served, what asks the same. Recall: of what asks the same, what is served. False-hit rate: of what asks something else,
what is served. Each comes with its exact binomial interval.

The best recall at a precision is sought over every similarity that occurs, so its threshold fits these pairs: the
interval of a share at one threshold would be too narrow. Its interval is the percentile bootstrap's (Efron, "Bootstrap
methods: another look at the jackknife", Annals of Statistics 7, 1979): pairs are drawn again with repeats, and each
time the best threshold is sought anew.

Pairs of several sources lie one source after another, as `Strata`: pairs of a source are drawn again among themselves,
and each counts by its source's weight.
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
ROUNDING = 1e-12
"""What a precision made of sums of weights may lack."""

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


class Stratum(NamedTuple):
    """A source of pairs: how many it has, and how much each of them counts."""

    size: int
    weight: float


Strata = Sequence[Stratum]


class Best(NamedTuple):
    """The best recall with at least a precision; without a threshold none reaches it. Hits count by their weights."""

    precision: float
    threshold: float | None
    true_hits: float
    false_hits: float
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
    pairs: Labelled,
    precisions: Sequence[float] = PRECISIONS,
    draws: int = DRAWS,
    strata: Strata | None = None,
) -> list[Best]:
    """For each precision the threshold (not below FLOOR) with the best recall, and the recall's interval.

    Without `strata` all pairs are of one source and count alike.
    """
    strata = one_source(pairs) if strata is None else strata
    order, ends = _ordered(pairs)
    weights = weights_of(strata)
    hits, served = _sums(weights, pairs.same, order, ends)
    spread = _bootstrapped(pairs, strata, precisions, draws)
    tail = 100 * (1 - CONFIDENCE) / 2
    found = []
    for number, precision in enumerate(precisions):
        place = _best(hits, served, precision)
        low, high = np.percentile(spread[:, number], [tail, 100 - tail]) if pairs.same.any() else (0.0, 1.0)
        if place is None:
            found.append(Best(precision, None, 0, 0, float(low), float(high)))
        else:
            threshold = float(pairs.similarities[order[ends[place]]])
            right = float(hits[place])
            found.append(Best(precision, threshold, right, float(served[place]) - right, float(low), float(high)))
    return found


def one_source(pairs: Labelled) -> Strata:
    """Strata of pairs that all count alike."""
    return [Stratum(len(pairs.same), 1.0)]


def weights_of(strata: Strata) -> Numbers:
    """How much each pair counts (n)."""
    return np.repeat([each.weight for each in strata], [each.size for each in strata])


def chance_of_gain(before: Labelled, after: Labelled, precisions: Sequence[float], draws: int = DRAWS) -> float:
    """The share of draws of the bootstrap in which the mean of the best recalls is higher after than before.

    Both are scores of the same pairs, and in each draw of the same pairs drawn again.
    """
    low, high = (_bootstrapped(each, one_source(each), precisions, draws).mean(axis=1) for each in (before, after))
    return float(np.mean(high > low))


def to_json(best: Best, positives: int) -> dict[str, Any]:
    """The best recall at a precision, for JSON; its recall is 0 where no threshold reaches the precision."""
    hits, false = round(best.true_hits), round(best.false_hits)
    got = None if positives == 0 else round(hits / positives, PLACES)
    return {
        "precision": best.precision,
        "threshold": best.threshold,
        "served": hits + false,
        "recall": {
            "value": got,
            "low": round(best.low, PLACES),
            "high": round(best.high, PLACES),
            "count": hits,
            "of": positives,
        },
        "precision_reached": share(hits, hits + false).to_json(),
    }


def figures(pairs: Labelled) -> dict[str, Any]:
    """All figures of one stage, for JSON."""
    positives = int(np.count_nonzero(pairs.same))
    return {
        "thresholds": [at(pairs, threshold) for threshold in THRESHOLDS],
        "best_recall": [to_json(best, positives) for best in best_recalls(pairs)],
    }


def curve(pairs: Labelled, strata: Strata | None = None) -> tuple[list[float], list[float]]:
    """Recall and precision at every similarity that occurs, from the highest: what a plot shows."""
    order, ends = _ordered(pairs)
    weights = weights_of(one_source(pairs) if strata is None else strata)
    hits, served = _sums(weights, pairs.same, order, ends)
    return (hits / _positives(weights, pairs.same)).tolist(), (hits / served).tolist()


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


def _sums(weights: Numbers, same: Mask, order: Counts, ends: Counts) -> tuple[Numbers, Numbers]:
    """True hits and all hits at the threshold of each similarity, each pair counted by its weight."""
    mine = weights[order]
    return np.cumsum(mine * same[order])[ends], np.cumsum(mine)[ends]


def _positives(weights: Numbers, same: Mask) -> float:
    """What the pairs that ask the same count together; 1 where there are none, and no recall is made of it."""
    return float(weights[same].sum()) or 1.0


def _best(hits: Numbers, served: Numbers, precision: float) -> int | None:
    """The place with the most true hits among those of the precision, the first of equals: the highest threshold."""
    reached = hits / np.where(served > 0, served, 1)
    enough = (hits > 0) & (reached >= precision - ROUNDING)
    return int(np.argmax(np.where(enough, hits, -1))) if enough.any() else None


def _bootstrapped(pairs: Labelled, strata: Strata, precisions: Sequence[float], draws: int) -> Numbers:
    """The best recall at each precision (draws, precisions) over pairs drawn again."""
    order, ends = _ordered(pairs)
    generator = np.random.default_rng(SEED)
    found = np.zeros((draws, len(precisions)))
    for draw in range(draws):
        weights = np.concatenate([_drawn_again(each, generator) for each in strata])
        hits, served = _sums(weights, pairs.same, order, ends)
        positives = _positives(weights, pairs.same)
        for number, precision in enumerate(precisions):
            place = _best(hits, served, precision)
            found[draw, number] = 0.0 if place is None else hits[place] / positives
    return found


def _drawn_again(stratum: Stratum, generator: np.random.Generator) -> Numbers:
    """How much each pair of a stratum counts when as many are drawn again."""
    drawn = generator.integers(stratum.size, size=stratum.size)
    counted: Numbers = np.bincount(drawn, minlength=stratum.size).astype(np.float64) * stratum.weight
    return counted
