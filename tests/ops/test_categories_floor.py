"""The floor: at least so much kept, as much rejected as that leaves, and never a question given up for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.categories_floor import area, floor_for
from streams.errors import BadInput

ROWS = st.lists(
    st.tuples(st.integers(-50, 50).map(float), st.booleans(), st.booleans()), min_size=4, max_size=60
).filter(lambda rows: any(inside and right for _, right, inside in rows))


def columns(rows: list[tuple[float, bool, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, right, inside = zip(*rows, strict=True)
    return np.array(scores), np.array(right), np.array(inside)


@given(ROWS, st.floats(0.5, 0.99))
def test_at_least_the_share_asked_for_is_kept_where_so_much_is_right(
    rows: list[tuple[float, bool, bool]], keep: float
) -> None:
    scores, right, inside = columns(rows)
    floor = floor_for(scores, right, inside, keep)
    kept = (scores[inside & right] >= floor.score).sum() / inside.sum()
    accuracy = (inside & right).sum() / inside.sum()
    assert floor.kept == pytest.approx(kept)
    assert kept >= min(keep, keep * accuracy if accuracy < keep else keep) - 1e-9
    outside = scores[~inside]
    assert floor.rejected == (pytest.approx((outside < floor.score).mean()) if len(outside) else None)


def test_without_examples_outside_it_is_the_highest_that_keeps_enough() -> None:
    scores = np.arange(100.0)
    every = np.ones(100, dtype=bool)
    assert floor_for(scores, every, every, 0.9).score == 10.0


def test_no_question_is_given_up_where_that_rejects_nothing_more() -> None:
    scores = np.array([*range(10, 110), *range(5)], dtype=float)
    inside = np.arange(105) < 100
    floor = floor_for(scores, inside, inside, 0.9)
    assert (floor.score, floor.kept, floor.rejected) == (10.0, 1.0, 1.0)


def test_examples_of_which_none_is_right_have_no_floor() -> None:
    with pytest.raises(BadInput, match="no held-out example"):
        floor_for(np.ones(3), np.zeros(3, dtype=bool), np.ones(3, dtype=bool), 0.9)


@given(ROWS)
def test_the_area_counts_the_pairs_in_the_right_order(rows: list[tuple[float, bool, bool]]) -> None:
    scores, right, inside = columns(rows)
    found = area(scores, right, inside)
    if inside.all():
        assert found == pytest.approx(right.mean())
        return
    pairs = [(scores[i] > scores[o]) and right[i] for i in np.flatnonzero(inside) for o in np.flatnonzero(~inside)]
    assert found == pytest.approx(np.mean(pairs))
