"""Batch sizes follow what a text costs to embed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.classify.batch_size import FIRST, BatchSize

BATCH_MAX = 256


def sized(*batches: tuple[int, float], target_ms: int = 100) -> BatchSize:
    """The size after batches of so many new texts that took so long (seconds)."""
    size = BatchSize(target_ms)
    for texts, seconds in batches:
        size.observe(texts, seconds)
    return size


def test_the_first_batch_is_small() -> None:
    assert [sized().wanted(BATCH_MAX), sized().wanted(3)] == [FIRST, 3]


@pytest.mark.parametrize(
    ("seconds_per_text", "wanted"),
    [(0.0, BATCH_MAX), (0.000_1, BATCH_MAX), (0.005, 20), (0.03, 3), (0.3, 1), (60.0, 1)],
)
def test_as_many_are_wanted_as_are_embedded_in_time(seconds_per_text: float, wanted: int) -> None:
    assert sized((4, 4 * seconds_per_text)).wanted(BATCH_MAX) == wanted


def test_remembered_texts_say_nothing_of_the_cost() -> None:
    assert sized((4, 0.04), (0, 9.0)).wanted(BATCH_MAX) == sized((4, 0.04)).wanted(BATCH_MAX) == 10


def test_one_slow_batch_does_not_stop_the_others() -> None:
    slowed = sized((10, 0.1), (10, 1.0))
    assert 1 < slowed.wanted(BATCH_MAX) < 10
    for _ in range(20):
        slowed.observe(slowed.wanted(BATCH_MAX), slowed.wanted(BATCH_MAX) * 0.01)
    assert slowed.wanted(BATCH_MAX) >= 9


@given(
    st.lists(st.tuples(st.integers(0, 4_096), st.floats(0, 1e6)), max_size=20),
    st.integers(1, 4_096),
    st.integers(1, 10**6),
)
def test_at_least_one_and_at_most_the_limit_are_wanted(
    batches: list[tuple[int, float]], batch_max: int, target_ms: int
) -> None:
    assert 1 <= sized(*batches, target_ms=target_ms).wanted(batch_max) <= batch_max
