"""Pairs of several files pooled: what one threshold does to all of them. Pure.

Files differ in size, and a threshold that suits the largest need not suit the rest. So pairs are pooled in two ways:

- *each file alike*: a pair counts 1 / (pairs of its file), so that every file has the same total weight;
- *each pair alike*: a pair counts 1, so that a file has the weight of its size.

In both, precision at a threshold is the weight of what is served and asks the same, divided by the weight of all that
is served; recall is that weight divided by the weight of all pairs that ask the same. Precision depends on how many
pairs of a file ask the same at all: pooled figures compare stages on the same files, and no file with another.

Intervals are the bootstrap's of `refrain.ops.quality.precision`, with the pairs of each file drawn again among
themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from refrain.ops.data.intervals import PLACES
from refrain.ops.quality.precision import (
    DRAWS,
    PRECISIONS,
    THRESHOLDS,
    Best,
    Labelled,
    Numbers,
    Strata,
    Stratum,
    at,
    best_recalls,
    curve,
    weights_of,
)

EACH_FILE, EACH_PAIR = "each_file_alike", "each_pair_alike"


class Pool(NamedTuple):
    """Pairs of all files, one file after another, and how much those of each file count."""

    files: Mapping[str, Labelled]
    pairs: Labelled
    strata: Strata


def pools(files: Mapping[str, Labelled]) -> dict[str, Pool]:
    """The two pools of files by their names. No file may be without pairs."""
    pairs = Labelled(*(np.concatenate(columns) for columns in zip(*files.values(), strict=True)))
    sizes = [len(each.same) for each in files.values()]
    return {
        EACH_FILE: Pool(files, pairs, [Stratum(size, 1 / size) for size in sizes]),
        EACH_PAIR: Pool(files, pairs, [Stratum(size, 1.0) for size in sizes]),
    }


def pooled_figures(stages: Mapping[str, Mapping[str, Labelled]]) -> dict[str, Any]:
    """Pooled figures by pool and stage, for JSON. `stages` has the files of each stage by their names."""
    by_stage = {stage: pools(files) for stage, files in stages.items()}
    return {way: {stage: figures_of(found[way]) for stage, found in by_stage.items()} for way in (EACH_FILE, EACH_PAIR)}


def figures_of(pool: Pool, precisions: Sequence[float] = PRECISIONS, draws: int = DRAWS) -> dict[str, Any]:
    """All figures of one pool, for JSON; its intervals are those of so many draws."""
    return {
        "thresholds": list(_at_thresholds(pool)),
        "best_recall": [_best_to_json(best, pool) for best in _best_recalls(pool, precisions, draws)],
    }


def curve_of(pool: Pool) -> tuple[list[float], list[float]]:
    """Recall and precision of a pool at every similarity that occurs, from the highest."""
    return curve(pool.pairs, pool.strata)


def _best_recalls(pool: Pool, precisions: Sequence[float], draws: int) -> list[Best]:
    return best_recalls(pool.pairs, precisions, draws, strata=pool.strata)


def _at_thresholds(pool: Pool) -> Iterator[dict[str, Any]]:
    weights, same = weights_of(pool.strata), pool.pairs.same
    for threshold in THRESHOLDS:
        served = pool.pairs.served(threshold)
        hits, false = _weigh(weights, served & same), _weigh(weights, served & ~same)
        yield {
            "threshold": threshold,
            "precision": _share(hits, hits + false),
            "recall": _share(hits, _weigh(weights, same)),
            "false_hit_rate": _share(false, _weigh(weights, ~same)),
        }


def _best_to_json(best: Best, pool: Pool) -> dict[str, Any]:
    recall = _share(best.true_hits, _weigh(weights_of(pool.strata), pool.pairs.same))
    return {
        "precision": best.precision,
        "threshold": best.threshold,
        "recall": {"value": recall, "low": round(best.low, PLACES), "high": round(best.high, PLACES)},
        "precision_reached": _share(best.true_hits, best.true_hits + best.false_hits),
        "files": {} if best.threshold is None else {n: at(each, best.threshold) for n, each in pool.files.items()},
    }


def _weigh(weights: Numbers, mask: Any) -> float:
    return float(weights[mask].sum())


def _share(part: float, of: float) -> float | None:
    return None if of == 0 else round(part / of, PLACES)
