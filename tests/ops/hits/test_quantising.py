"""The integers of a head score as its floating-point net does."""

from __future__ import annotations

import numpy as np
import pytest

from refrain.ops.hits.alignment import Array, Batch, Net, outcome
from refrain.ops.hits.quantising import Scale, Standard, quantise
from refrain.streams.models.hit_head import PairHead
from refrain.streams.models.hit_head_artifact import HEAD_FILES
from tests.streams.models.made_hit_heads import MADE

DIM, WIDTH, HIDDEN, PAIRS, LENGTH = 24, 16, 12, 40, 9
STANDARD = Standard(np.array([8e5, 400.0, 300.0, 5e4]), np.array([1e5, 150.0, 200.0, 6e4]))
SLOPE = 10_000


def unit_tokens(random: np.random.Generator) -> Array:
    rows = random.normal(size=(2 * PAIRS, LENGTH, DIM))
    return np.asarray(rows / np.linalg.norm(rows, axis=2, keepdims=True), dtype=np.float32)


def net(random: np.random.Generator) -> Net:
    shapes = ((DIM, WIDTH), (), (4 * WIDTH, HIDDEN), (HIDDEN,), (2 * HIDDEN,), (4,), ())
    sizes = (1.0, 0.2, 0.3, 0.5, 0.3, 0.4, 0.5)
    return Net(
        *(
            np.asarray(random.normal(0, size, shape), dtype=np.float32)
            for size, shape in zip(sizes, shapes, strict=True)
        )
    )


@pytest.mark.parametrize("seed", range(4))
def test_what_integers_take_off_leaves_the_score_of_the_logit(seed: int) -> None:
    random = np.random.default_rng(seed)
    made, tokens = net(random), unit_tokens(random)
    evidence = np.rint(STANDARD.mean + STANDARD.spread * random.normal(size=(PAIRS, 4))).astype(np.int64)
    standardised = ((evidence - STANDARD.mean) / STANDARD.spread).astype(np.float32)
    batch = Batch(tokens, np.ones(tokens.shape[:2], dtype=np.bool_), standardised)
    logits = outcome(made, batch)
    # About half the cap is taken off, so that few pairs are at either bound.
    scale = Scale(SLOPE, float(evidence[:, 0].mean()) - 200_000 - SLOPE * float(logits.mean()))
    wanted = scale.slope * logits + scale.offset
    largest = float(np.abs(tokens @ made.projection).max())
    head = PairHead(
        HEAD_FILES.seal({"embedder": "e", "cap": 300_000, "made": MADE, **quantise(made, largest, STANDARD, scale)})
    )
    sides = [head.text_side(each) for each in tokens]
    taken = [head.weight(sides[row], sides[PAIRS + row], *evidence[row].tolist()) for row in range(PAIRS)]
    bounded = np.clip(evidence[:, 0] - evidence[:, 3] - wanted, 0, 300_000)
    assert bounded.std() > 60_000
    assert np.abs(taken - bounded).mean() < 1_500
    assert np.abs(taken - bounded).max() < 6_000
