"""Thresholds by Platt scaling: what is proposed, how often it is wrong, and what is said of too few pairs."""

from __future__ import annotations

import numpy as np
import pytest

from refrain.ops.quality.calibration import Sample
from refrain.ops.quality.platt import Numbers, Sigmoid
from refrain.ops.quality.platt_calibration import calibrate_by_platt
from refrain.ops.quality.proposals import propose

TRUE = Sigmoid(22.0, -16.5)


def judged(count: int, seed: int, low: float = 0.6, high: float = 1.0, seen_from: float = 0.0) -> list[Sample]:
    """Pairs whose chances follow a sigmoid: even odds at 0.75."""
    generator = np.random.default_rng(seed)
    similarities = np.round(generator.uniform(low, high, count), 6)
    right = generator.random(count) < TRUE.chances(similarities)
    return [Sample(float(s), bool(r), seen_from) for s, r in zip(similarities, right, strict=True)]


def true_rate(threshold: float) -> float:
    """The false-hit rate of `judged` from a threshold to 1."""
    above: Numbers = np.linspace(threshold, 1.0, 2_000)
    return float((1 - TRUE.chances(above)).mean())


def test_from_150_judged_pairs_a_threshold_is_proposed_that_is_seldom_too_low() -> None:
    budget, confidence, runs = 0.1, 0.9, 24
    found = [calibrate_by_platt(judged(150, seed), budget, confidence) for seed in range(runs)]
    rates = [true_rate(each.threshold) for each in found if each.threshold is not None]
    assert len(rates) >= runs - 2
    # Two or three of 24 are expected; eight would come once in 500 such tests.
    assert sum(rate > budget for rate in rates) <= 7
    assert max(rates) < 2 * budget


def test_with_more_pairs_the_threshold_comes_nearer_to_the_lowest_that_is_right() -> None:
    few, many = (calibrate_by_platt(judged(count, 2), 0.1, 0.95) for count in (150, 5_000))
    best = min(step / 1_000 for step in range(600, 1_000) if true_rate(step / 1_000) <= 0.1)
    assert few.threshold is not None
    assert many.threshold is not None
    assert abs(many.threshold - best) < 0.01
    assert many.threshold < few.threshold


def test_a_proposal_tells_its_hits_its_bound_and_the_two_numbers() -> None:
    samples = judged(300, 5)
    found = calibrate_by_platt(samples, 0.1, 0.9)
    assert found.threshold is not None
    hits = [each for each in samples if each.similarity >= found.threshold]
    assert (found.hits, found.false_hits) == (len(hits), sum(not each.right for each in hits))
    assert found.bound is not None
    assert found.bound <= 0.1
    assert found.slope is not None
    assert 10 < found.slope < 40
    assert found.to_json()["method"] == "platt"
    assert found == calibrate_by_platt(samples, 0.1, 0.9)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (40, 3, "judge 7 more of label 0 (does not)"),
        (4, 40, "judge 6 more of label 1 (asks the same)"),
        (2, 0, "judge 8 more of label 1 (asks the same) and 10 more of label 0 (does not)"),
    ],
)
def test_too_few_of_a_label_are_told_by_label_and_number(right: int, wrong: int, said: str) -> None:
    samples = [Sample(0.9, True)] * right + [Sample(0.8, False)] * wrong
    found = calibrate_by_platt(samples, 0.1, 0.9)
    assert found.threshold is None
    assert said in found.why
    assert found.needed > len(samples)


def test_where_more_pairs_would_show_it_their_number_is_about_what_it_takes() -> None:
    few = calibrate_by_platt(judged(60, 8), 0.015, 0.95)
    assert few.threshold is None
    assert "60 judged pairs are too few" in few.why
    assert "of label 0" in few.why
    assert 60 < few.needed < 2_000
    assert calibrate_by_platt(judged(2 * few.needed, 9), 0.015, 0.95).threshold is not None


def test_where_even_the_most_similar_are_false_too_often_more_pairs_are_not_asked_for() -> None:
    found = calibrate_by_platt(judged(2_000, 1, high=0.8), 0.05, 0.95)
    assert (found.threshold, found.needed) == (None, 0)
    assert "more pairs do not change that" in found.why


def test_where_similarity_says_nothing_no_threshold_is_proposed() -> None:
    turned = [each._replace(similarity=round(1.6 - each.similarity, 6)) for each in judged(400, 4)]
    found = calibrate_by_platt(turned, 0.3, 0.95)
    assert (found.threshold, found.needed) == (None, 0)
    assert "not right more often" in found.why
    generator = np.random.default_rng(3)
    mixed = [Sample(round(float(s), 6), number % 2 > 0) for number, s in enumerate(generator.uniform(0.6, 1, 60))]
    assert calibrate_by_platt(mixed, 0.1, 0.95).threshold is None


def test_nothing_is_proposed_beyond_the_similarities_that_were_judged() -> None:
    narrow = calibrate_by_platt(judged(3_000, 6, low=0.80, high=0.95), 0.3, 0.9)
    assert narrow.threshold == pytest.approx(0.80, abs=0.002)
    strict = calibrate_by_platt(judged(3_000, 6, low=0.80, high=0.95, seen_from=0.85), 0.3, 0.9)
    assert strict.threshold == 0.85


def test_without_a_choice_of_method_the_labels_say_which_can_show_more() -> None:
    both = propose(judged(200, 1), 0.1, 0.9, "auto")
    assert both.method == "platt"
    right = [Sample(0.95, True)] * 30
    assert propose(right, 0.1, 0.95, "auto")[:1] == (0.95,)
    assert propose(right, 0.1, 0.95, "platt").threshold is None
    short = propose(right[:20], 0.1, 0.95, "auto")
    assert short.threshold is None
    assert "with 29, none of them false" in short.why
    assert "10 more of label 0" in short.why
    assert propose(judged(200, 1), 0.1, 0.9, "exact").method == "exact"


def test_without_any_pair_the_need_is_told_too() -> None:
    assert "10 more of label 1" in propose([], 0.1, 0.9, "platt").why
