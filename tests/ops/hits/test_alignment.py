"""The net of the head: its gradient is that of its outcome, padding counts for nothing, either text may be first."""

from __future__ import annotations

import numpy as np
import pytest

from refrain.ops.hits.alignment import Array, Batch, Net, gradient, outcome

DIM, WIDTH, HIDDEN, PAIRS, LENGTH = 6, 4, 5, 3, 5
COUNTS = (5, 3, 2, 4, 5, 1)
SAME = np.array([True, False, True])
STEP = 1e-6


def numbers(*shape: int, seed: int) -> Array:
    # In float64, so that differences show what the gradient is.
    return np.random.default_rng(seed).normal(size=shape)  # type: ignore[return-value]


def net() -> Net:
    shapes = ((DIM, WIDTH), (), (4 * WIDTH, HIDDEN), (HIDDEN,), (2 * HIDDEN,), (4,), ())
    return Net(*(numbers(*shape, seed=seed) for seed, shape in enumerate(shapes)))


def batch(length: int = LENGTH) -> Batch:
    real = np.arange(length) < np.array(COUNTS)[:, None]
    tokens = np.zeros((2 * PAIRS, length, DIM))
    tokens[:, :LENGTH] = numbers(2 * PAIRS, LENGTH, DIM, seed=9) * real[:, :LENGTH, None]
    return Batch(tokens, real, numbers(PAIRS, 4, seed=10))  # type: ignore[arg-type]


@pytest.mark.parametrize("kept", [None, np.array([0.0, 2.0, 1.0, 2.0]) * np.ones((2 * PAIRS, 1, 1))])
@pytest.mark.parametrize("name", Net._fields)
def test_the_gradient_is_the_slope_of_the_loss(name: str, kept: Array | None) -> None:
    found = getattr(gradient(net(), batch(), SAME, kept)[1], name)
    for place in np.ndindex(found.shape):
        losses = []
        for step in (STEP, -STEP):
            moved = getattr(net(), name).copy() if found.shape else np.array(getattr(net(), name))
            moved[place] += step
            losses.append(gradient(net()._replace(**{name: moved}), batch(), SAME, kept)[0])
        assert found[place] == pytest.approx((losses[0] - losses[1]) / (2 * STEP), abs=1e-5)


def test_padding_counts_for_nothing() -> None:
    assert outcome(net(), batch(LENGTH + 4)) == pytest.approx(outcome(net(), batch()))


def test_which_text_comes_first_makes_no_difference() -> None:
    tokens, real, evidence = batch()
    turned = np.r_[PAIRS : 2 * PAIRS, 0:PAIRS]
    assert outcome(net(), Batch(tokens[turned], real[turned], evidence)) == pytest.approx(outcome(net(), batch()))
