"""Thresholds that keep a budget: what is proposed, what is not, and how often it is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.ops.data.intervals import upper
from refrain.ops.quality.calibration import Sample, calibrate

SAMPLES = st.lists(
    st.builds(
        Sample,
        st.integers(50, 100).map(lambda n: n / 100),
        st.integers(0, 20).map(lambda n: n > 0),
        st.sampled_from([0.0, 0.0, 0.0, 0.7]),
    ),
    max_size=400,
)


def rising(draw: np.random.Generator, count: int) -> list[Sample]:
    """Similarities of which the lower are false more often."""
    similarities = draw.uniform(0.6, 1.0, count)
    right = draw.random(count) >= false_share(similarities)
    return [Sample(round(float(s), 6), bool(r)) for s, r in zip(similarities, right, strict=True)]


def false_share(similarity: np.ndarray) -> np.ndarray:
    """The chance that a pair of that similarity is false: none at 1, all at 0.6."""
    return ((1 - similarity) / 0.4) ** 2


def true_rate(threshold: float) -> float:
    """The false-hit rate of `rising` at a threshold: the mean of `false_share` above it."""
    return float(((1 - threshold) / 0.4) ** 2 / 3)


@given(SAMPLES, st.sampled_from([0.05, 0.1, 0.3]), st.sampled_from([0.8, 0.95]))
def test_what_is_proposed_has_its_bound_within_the_budget(
    samples: list[Sample], budget: float, confidence: float
) -> None:
    found = calibrate(samples, budget, confidence)
    if found.threshold is None:
        assert found.why
        return
    hits = [each for each in samples if each.similarity >= found.threshold >= each.seen_from]
    false = sum(not each.right for each in hits)
    assert (found.hits, found.false_hits) == (len(hits), false)
    assert upper(false, len(hits), confidence) <= budget
    assert found.bound is not None
    assert upper(false, len(hits), confidence) <= found.bound <= budget
    assert found.threshold >= min(each.similarity for each in samples)


@pytest.mark.parametrize("count", [200, 1_000, 3_000])
def test_a_threshold_is_too_low_no_more_often_than_the_confidence_allows(count: int) -> None:
    budget, confidence, runs = 0.05, 0.9, 300
    found = [calibrate(rising(np.random.default_rng(seed), count), budget, confidence) for seed in range(runs)]
    wrong = sum(each.threshold is not None and true_rate(each.threshold) > budget for each in found)
    # 30 are expected at most; 45 would come once in 300 such tests.
    assert wrong <= 45
    if count >= 1_000:
        assert sum(each.threshold is not None for each in found) > runs / 2


def test_with_more_pairs_the_threshold_comes_nearer_to_the_lowest_that_is_right() -> None:
    few, many = (calibrate(rising(np.random.default_rng(1), count), 0.05, 0.95) for count in (2_000, 50_000))
    best = 1 - 0.4 * (3 * 0.05) ** 0.5
    assert few.threshold is not None
    assert many.threshold is not None
    assert best <= many.threshold <= few.threshold
    assert many.threshold - best < 0.02


def test_too_few_pairs_give_no_threshold_and_the_number_that_is_needed() -> None:
    found = calibrate([Sample(0.95, True)] * 298, 0.01, 0.95)
    assert (found.threshold, found.needed, found.hits) == (None, 299, 298)
    assert "298 hits are too few" in found.why
    assert "1 more are needed" in found.why
    assert calibrate([Sample(0.95, True)] * 299, 0.01, 0.95).threshold == 0.95


def test_false_hits_are_told_also_where_all_hits_are_too_few() -> None:
    found = calibrate([Sample(0.95, True)] * 20 + [Sample(0.9, False)] * 2, 0.01, 0.95)
    assert (found.threshold, found.hits, found.false_hits) == (None, 22, 2)


def test_without_any_pair_the_need_is_told_too() -> None:
    assert "299" in calibrate([], 0.01, 0.95).why


def test_where_even_the_strictest_is_false_too_often_nothing_is_proposed() -> None:
    found = calibrate([Sample(1.0, number % 10 > 0) for number in range(400)], 0.01, 0.95)
    assert found.threshold is None
    assert "40 of 400 are false" in found.why


def test_a_walk_ends_at_the_first_failure_though_lower_thresholds_look_safe() -> None:
    top = [Sample(0.95, True)] * 100
    bad = [Sample(0.90, False)] * 4
    diluting = [Sample(0.80, True)] * 150
    found = calibrate([*top, *bad, *diluting], 0.05, 0.95)
    assert upper(4, 254, 0.95) <= 0.05
    assert found.threshold is not None
    assert found.threshold > 0.90


def test_with_enough_pairs_a_false_one_at_the_top_does_not_end_it_all() -> None:
    top = [Sample(0.99, number > 0) for number in range(75)]
    rest = [Sample(0.90, True)] * 300
    assert upper(1, 75, 0.95) > 0.05
    assert calibrate(top, 0.05, 0.95).threshold is None
    assert calibrate([*top, *rest], 0.05, 0.95).threshold == 0.90


def test_nothing_is_said_of_thresholds_below_the_lowest_similarity() -> None:
    assert calibrate([Sample(0.823456, True)] * 100, 0.05, 0.95).threshold == 0.823456
    assert calibrate([Sample(0.42, True)] + [Sample(0.9, True)] * 100, 0.05, 0.95).threshold == 0.5


def test_hits_say_nothing_of_thresholds_below_the_one_they_were_served_by() -> None:
    strict = [Sample(0.95, True, seen_from=0.9)] * 100
    wide = [Sample(0.85, True, seen_from=0.8)] * 30
    assert calibrate([*strict, *wide], 0.05, 0.95).threshold == 0.9
