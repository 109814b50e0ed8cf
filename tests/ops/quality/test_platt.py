"""The fit of Platt scaling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.ops.quality.platt import Numbers, Sigmoid, fit

TRUE = Sigmoid(20.0, -16.0)


def drawn(sigmoid: Sigmoid, count: int, seed: int) -> tuple[Numbers, np.ndarray]:
    """Pairs whose chances follow a sigmoid."""
    generator = np.random.default_rng(seed)
    similarities = generator.uniform(0.6, 1.0, count)
    return similarities, generator.random(count) < sigmoid.chances(similarities)


def test_the_two_numbers_of_many_pairs_are_those_they_were_drawn_by() -> None:
    found = fit(*drawn(TRUE, 50_000, 3))
    assert found.slope == pytest.approx(TRUE.slope, rel=0.05)
    assert found.offset == pytest.approx(TRUE.offset, rel=0.05)


def test_a_pair_of_weight_two_counts_like_two_pairs() -> None:
    similarities, same = drawn(TRUE, 60, 1)
    weights = np.array([1.0, 2.0, 0.0] * 20)
    repeats = weights.astype(int)
    weighed = fit(similarities, same, weights)
    repeated = fit(np.repeat(similarities, repeats), np.repeat(same, repeats))
    assert weighed == pytest.approx(repeated, rel=1e-6)


def test_where_similarity_tells_all_apart_the_fit_stays_finite_and_its_chances_are_never_quite_sure() -> None:
    similarities = np.linspace(0.6, 1.0, 40)
    found = fit(similarities, similarities > 0.8)
    chances = found.chances(similarities)
    assert np.isfinite(found).all()
    assert 0 < chances[0] < 0.1
    assert 0.9 < chances[-1] < 1


@pytest.mark.parametrize("same", [True, False])
def test_pairs_of_one_label_alone_have_a_fit_too(same: bool) -> None:
    found = fit(np.array([0.8, 0.9]), np.array([same, same]))
    assert np.isfinite(found).all()


@given(st.lists(st.tuples(st.floats(0.5, 1.0), st.booleans()), min_size=1, max_size=60))
def test_no_pairs_make_the_fit_fail(pairs: list[tuple[float, bool]]) -> None:
    similarities, same = (np.array(column) for column in zip(*pairs, strict=True))
    found = fit(similarities, same)
    chances = found.chances(similarities)
    assert np.isfinite(found).all()
    assert ((chances >= 0) & (chances <= 1)).all()
    # At the greatest likelihood the chances of all pairs come to Platt's targets, in sum.
    ones, zeros = int(same.sum()), int((~same).sum())
    wanted = ones * (ones + 1) / (ones + 2) + zeros / (zeros + 2)
    assert float(chances.sum()) == pytest.approx(wanted, abs=1e-3)
