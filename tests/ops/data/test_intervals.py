"""Exact intervals of shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from refrain.ops.data.intervals import least, share, upper

COUNTS = st.integers(1, 2_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@given(COUNTS, st.sampled_from([0.8, 0.95, 0.99]))
def test_a_share_has_the_interval_of_clopper_and_pearson(counts: tuple[int, int], confidence: float) -> None:
    found = share(*counts, confidence)
    expected = binomtest(*counts).proportion_ci(confidence, method="exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.value is not None
    assert found.low <= found.value <= found.high


def test_of_nothing_there_is_no_share_and_anything_may_be_true() -> None:
    assert share(0, 0) == (0, 0, None, 0.0, 1.0)
    assert share(0, 0).to_json() == {"value": None, "low": 0.0, "high": 1.0, "count": 0, "of": 0}


@given(COUNTS, st.sampled_from([0.9, 0.95, 0.99]))
def test_a_share_at_its_upper_bound_gives_so_few_as_seldom_as_said(counts: tuple[int, int], confidence: float) -> None:
    bound = upper(*counts, confidence)
    if bound < 1:
        assert binom.cdf(*counts, bound) == pytest.approx(1 - confidence, abs=1e-6)
    else:
        assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("budget", "confidence", "needed"), [(0.01, 0.95, 299), (0.05, 0.95, 59), (0.01, 0.99, 459), (0.5, 0.5, 1)]
)
def test_the_fewest_that_can_show_a_budget_are_about_three_for_each_false_one_allowed(
    budget: float, confidence: float, needed: int
) -> None:
    assert least(budget, confidence) == needed


@given(st.floats(0.0005, 0.5), st.floats(0.5, 0.999))
def test_one_fewer_than_the_fewest_shows_nothing(budget: float, confidence: float) -> None:
    needed = least(budget, confidence)
    assert upper(0, needed, confidence) <= budget
    assert needed == 1 or upper(0, needed - 1, confidence) > budget
