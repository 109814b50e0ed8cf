"""The floor: at least so much kept, as much rejected as that leaves, and never a question given up for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.ops.categories.floor import area, floor_for
from refrain.streams.errors import BadInput

ROWS = st.lists(
    st.tuples(st.integers(-50, 50).map(float), st.booleans(), st.booleans()), min_size=4, max_size=60
).filter(lambda rows: any(inside and right for _, right, inside in rows))


def columns(rows: list[tuple[float, bool, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, right, inside = zip(*rows, strict=True)
    return np.array(scores), np.array(right), np.array(inside)


@given(ROWS, st.floats(0.5, 0.99), st.integers(1, 3))
def test_at_least_the_share_asked_for_is_kept_in_every_block_where_so_much_is_right(
    rows: list[tuple[float, bool, bool]], keep: float, blocks: int
) -> None:
    scores, right, inside = columns(rows)
    block = np.arange(len(scores)) % blocks
    floor = floor_for(scores, right, inside, block, keep)
    assert floor.kept == pytest.approx((scores[inside & right] >= floor.score).sum() / inside.sum())
    for part in (inside & (block == at) for at in range(blocks)):
        if part.any():
            accuracy = right[part].mean()
            kept = (scores[part & right] >= floor.score).sum() / part.sum()
            assert kept >= (keep if accuracy >= keep else keep * accuracy) - 1e-9
    outside = scores[~inside]
    assert floor.rejected == (pytest.approx((outside < floor.score).mean()) if len(outside) else None)


def test_without_examples_outside_it_is_the_highest_that_keeps_enough() -> None:
    scores = np.arange(100.0)
    every = np.ones(100, dtype=bool)
    assert floor_for(scores, every, every, np.zeros(100, dtype=int), 0.9).score == 10.0


def test_the_worst_block_counts() -> None:
    scores = np.arange(100.0)
    every = np.ones(100, dtype=bool)
    block = np.where(scores < 50, 0, 1)
    # Of the lower half alone a tenth may go.
    assert floor_for(scores, every, every, block, 0.9).score == 5.0


def test_no_question_is_given_up_where_that_rejects_nothing_more() -> None:
    scores = np.array([*range(10, 110), *range(5)], dtype=float)
    inside = np.arange(105) < 100
    floor = floor_for(scores, inside, inside, np.zeros(105, dtype=int), 0.9)
    assert (floor.score, floor.kept, floor.rejected) == (10.0, 1.0, 1.0)


def test_examples_of_which_none_is_right_have_no_floor() -> None:
    with pytest.raises(BadInput, match="no held-out example"):
        floor_for(np.ones(3), np.zeros(3, dtype=bool), np.ones(3, dtype=bool), np.zeros(3, dtype=int), 0.9)


@given(ROWS)
def test_the_area_counts_the_pairs_in_the_right_order(rows: list[tuple[float, bool, bool]]) -> None:
    scores, right, inside = columns(rows)
    found = area(scores, right, inside)
    if inside.all():
        assert found == pytest.approx(right.mean())
        return
    pairs = [(scores[i] > scores[o]) and right[i] for i in np.flatnonzero(inside) for o in np.flatnonzero(~inside)]
    assert found == pytest.approx(np.mean(pairs))
