"""Figures of pooled files, against counting by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.ops.quality.pooled import EACH_FILE, EACH_PAIR, curve_of, figures_of, pools
from refrain.ops.quality.precision import Labelled, figures

Rows = Sequence[tuple[float, bool, bool]]
ROWS = st.lists(
    st.tuples(st.integers(45, 100).map(lambda n: n / 100), st.booleans(), st.booleans()), min_size=1, max_size=20
)


def labelled(rows: Rows) -> Labelled:
    return Labelled(*(np.array(column) for column in zip(*rows, strict=True)))


LARGE: Rows = [(0.9, True, True)] * 6 + [(0.8, False, True)] * 2
SMALL: Rows = [(0.8, True, True), (0.7, False, True)]


def test_where_each_file_counts_alike_a_small_one_weighs_as_much_as_a_large_one() -> None:
    found = figures_of(pools({"large": labelled(LARGE), "small": labelled(SMALL)})[EACH_FILE])
    at_80 = next(row for row in found["thresholds"] if row["threshold"] == 0.8)
    # Served: of the large file 6/8 right and 2/8 wrong, of the small one 1/2 right.
    assert at_80["precision"] == pytest.approx(1.25 / 1.5, abs=1e-6)
    assert at_80["recall"] == 1.0
    assert at_80["false_hit_rate"] == pytest.approx(0.25 / 0.75, abs=1e-6)


def test_where_each_pair_counts_alike_figures_are_those_of_one_file_with_all_pairs() -> None:
    found = figures_of(pools({"large": labelled(LARGE), "small": labelled(SMALL)})[EACH_PAIR])
    together = figures(labelled([*LARGE, *SMALL]))
    for row, wanted in zip(found["thresholds"], together["thresholds"], strict=True):
        assert row["precision"] == wanted["precision"]["value"]
        assert row["recall"] == wanted["recall"]["value"]


@given(st.lists(ROWS, min_size=1, max_size=4), st.sampled_from([EACH_FILE, EACH_PAIR]))
def test_the_one_threshold_has_the_precision_and_no_other_has_a_better_recall(files: list[Rows], way: str) -> None:
    named = {str(number): labelled(rows) for number, rows in enumerate(files)}
    precision = 0.75
    # Of intervals nothing is asked here: a thousand draws for each example would be for nothing.
    best = figures_of(pools(named)[way], [precision], draws=1)["best_recall"][0]
    weights = [1 / len(rows) if way == EACH_FILE else 1.0 for rows in files]
    positives = sum(weight * sum(same for _, same, _ in rows) for weight, rows in zip(weights, files, strict=True))
    reached: dict[float, float] = {}
    for threshold in {each[0] for rows in files for each in rows if each[0] >= 0.5}:
        served = [
            (weight, same)
            for weight, rows in zip(weights, files, strict=True)
            for similarity, same, passing in rows
            if passing and similarity >= threshold
        ]
        hits = sum(weight for weight, same in served if same)
        if hits and hits / sum(weight for weight, _ in served) >= precision - 1e-9:
            reached[threshold] = hits / positives
    if best["threshold"] is None:
        assert not reached
        return
    assert best["recall"]["value"] == pytest.approx(max(reached.values()), abs=2e-6)
    assert reached[best["threshold"]] == pytest.approx(max(reached.values()))
    assert best["precision_reached"] >= precision - 1e-6


def test_the_best_recall_tells_what_its_threshold_does_to_each_file() -> None:
    best = figures_of(pools({"large": labelled(LARGE), "small": labelled(SMALL)})[EACH_FILE], [0.9])["best_recall"][0]
    assert best["threshold"] == 0.9
    assert {name: each["recall"]["value"] for name, each in best["files"].items()} == {"large": 1.0, "small": 0.0}
    assert best["recall"]["value"] == pytest.approx(0.75 / 1.25)
    assert best["recall"]["low"] <= 0.6 <= best["recall"]["high"]


def test_a_curve_ends_with_all_that_may_be_served() -> None:
    recalls, precisions = curve_of(pools({"large": labelled(LARGE), "small": labelled(SMALL)})[EACH_FILE])
    assert [recalls[-1], precisions[-1]] == pytest.approx([1.0, 1.25 / 2])


def test_files_of_one_label_alone_have_figures_too() -> None:
    found = figures_of(pools({"a": labelled([(0.9, False, True)]), "b": labelled([(0.8, False, True)])})[EACH_FILE])
    assert found["best_recall"][0]["recall"]["value"] is None
    assert found["thresholds"][0]["recall"] is None
