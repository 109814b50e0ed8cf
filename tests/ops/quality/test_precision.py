"""Figures of labelled pairs, against counting by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.ops.quality.precision import (
    PRECISIONS,
    THRESHOLDS,
    Labelled,
    at,
    best_recalls,
    chance_of_gain,
    curve,
    figures,
    shares_by,
)

ROWS = st.lists(
    st.tuples(st.integers(45, 100).map(lambda n: n / 100), st.booleans(), st.booleans()), min_size=1, max_size=40
)


def labelled(rows: list[tuple[float, bool, bool]]) -> Labelled:
    return Labelled(*(np.array(column) for column in zip(*rows, strict=True)))


def test_the_thresholds_are_those_from_070_to_099() -> None:
    assert THRESHOLDS[0] == 0.7
    assert THRESHOLDS[-1] == 0.99
    assert len(THRESHOLDS) == 30


@given(ROWS, st.sampled_from(THRESHOLDS))
def test_what_a_threshold_does_is_what_counting_says(rows: list[tuple[float, bool, bool]], threshold: float) -> None:
    found = at(labelled(rows), threshold)
    served = [same for similarity, same, passing in rows if passing and similarity >= threshold]
    same = [each for _, each, _ in rows if each]
    assert found["served"] == len(served)
    assert found["true_hits"] == sum(served)
    assert found["precision"]["value"] == (round(sum(served) / len(served), 6) if served else None)
    assert found["recall"]["value"] == (round(sum(served) / len(same), 6) if same else None)
    assert found["false_hit_rate"]["of"] == len(rows) - len(same)


@given(ROWS)
def test_no_threshold_with_the_precision_has_a_better_recall(rows: list[tuple[float, bool, bool]]) -> None:
    pairs = labelled(rows)
    may = {each[0] for each in rows if each[2] and each[0] >= 0.5}
    for best in best_recalls(pairs, draws=5):
        tried = {t: at(pairs, t) for t in may}
        reach = {t: f for t, f in tried.items() if f["true_hits"] and f["precision"]["value"] >= best.precision}
        if best.threshold is None:
            assert not reach
            continue
        assert best.true_hits == max(each["true_hits"] for each in reach.values())
        assert best.threshold == max(t for t, each in reach.items() if each["true_hits"] == best.true_hits)
        assert (best.true_hits, best.false_hits) == (
            tried[best.threshold]["true_hits"], tried[best.threshold]["false_hits"],
        )  # fmt: skip


def test_pairs_of_one_similarity_are_served_together() -> None:
    pairs = labelled([(0.9, True, True), (0.9, False, True), (0.8, True, True)])
    assert best_recalls(pairs, (0.9,), draws=5)[0].threshold is None
    assert curve(pairs) == ([0.5, 1.0], [0.5, pytest.approx(2 / 3)])


def test_the_interval_of_the_best_recall_holds_it_and_comes_out_the_same_again() -> None:
    draw = np.random.default_rng(3)
    similarities = np.round(draw.uniform(0.6, 1, 600), 6)
    same = draw.random(600) < similarities**2
    pairs = Labelled(similarities, same, np.ones(600, dtype=bool))
    found = best_recalls(pairs, (0.8, 0.9))
    assert found == best_recalls(pairs, (0.8, 0.9))
    for best in found:
        assert 0 <= best.low <= best.true_hits / int(same.sum()) <= best.high <= 1
        assert best.low < best.high


@pytest.mark.parametrize("same", [True, False])
def test_pairs_of_one_label_alone_have_figures_too(same: bool) -> None:
    made = figures(labelled([(0.9, same, True), (0.8, same, False)]))
    assert [each["precision"] for each in made["best_recall"]] == list(PRECISIONS)
    assert made["best_recall"][0]["recall"]["value"] == (0.5 if same else None)


def test_groups_are_counted_by_themselves() -> None:
    pairs = labelled([(0.9, True, True), (0.9, True, False), (0.8, False, True)])
    groups = {"x": np.array([True, True, False]), "y": np.array([False, False, True])}
    found = shares_by(pairs, groups)

    def served(name: str, threshold: float) -> dict[str, Any]:
        return next(each for each in found[name] if each["threshold"] == threshold)

    assert (served("x", 0.85)["count"], served("x", 0.85)["of"]) == (1, 2)
    assert (served("y", 0.85)["count"], served("y", 0.8)["count"]) == (0, 1)


def test_a_gain_is_sure_where_every_draw_has_it_and_none_where_nothing_changes() -> None:
    same = np.arange(200) % 2 == 0
    poor = Labelled(np.linspace(0.6, 0.9, 200), same, np.ones(200, dtype=np.bool_))
    good = poor._replace(similarities=np.where(same, 0.9, 0.6))
    assert chance_of_gain(poor, good, (0.9, 0.95), draws=50) == 1.0
    assert chance_of_gain(good, poor, (0.9, 0.95), draws=50) == 0.0
    assert chance_of_gain(good, good, (0.9, 0.95), draws=50) == 0.0
