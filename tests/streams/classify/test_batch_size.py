"""Batch sizes follow what a call of the embedder costs, and a text in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.classify.batch_size import FIRST, PROBES, BatchSize

BATCH_MAX = 256
SETTLED = 50
"""Batches after which a size has settled."""


def sized(*batches: tuple[int, float], target_ms: int = 100) -> BatchSize:
    """The size after batches of so many new texts that took so long (seconds)."""
    size = BatchSize(target_ms)
    for texts, seconds in batches:
        size.observe(texts, seconds, texts)
    return size


def sizes(size: BatchSize, own_s: float, each_s: float, batches: int = SETTLED) -> list[int]:
    """The sizes of so many batches, each as large as is wanted, of an embedder with these costs."""
    found = []
    for _ in range(batches):
        found.append(size.wanted(BATCH_MAX))
        size.observe(found[-1], own_s + each_s * found[-1], found[-1])
    return found


def usual(found: list[int]) -> int:
    return sorted(found)[len(found) // 2]


def test_the_first_batch_is_small() -> None:
    assert [sized().wanted(BATCH_MAX), sized().wanted(3)] == [FIRST, 3]


@pytest.mark.parametrize(
    ("seconds_per_text", "wanted"),
    [(0.0, BATCH_MAX), (0.000_1, BATCH_MAX), (0.005, 20), (0.03, 3), (0.3, 1), (60.0, 1)],
)
def test_as_many_are_wanted_as_are_embedded_in_time(seconds_per_text: float, wanted: int) -> None:
    assert sized((4, 4 * seconds_per_text)).wanted(BATCH_MAX) == wanted


@pytest.mark.parametrize(
    ("own_s", "each_s", "wanted"),
    [(0.0, 0.01, 10), (0.006, 0.0027, 34), (0.02, 0.01, 8), (0.0, 0.3, 1), (0.12, 0.0001, BATCH_MAX), (0.15, 0.05, 6)],
)
def test_a_call_that_takes_time_itself_has_more_texts(own_s: float, each_s: float, wanted: int) -> None:
    found = sizes(sized(), own_s, each_s)[SETTLED // 2 :]
    assert usual(found) == pytest.approx(wanted, rel=0.1, abs=1)


def test_no_batch_but_the_first_and_the_probes_takes_much_longer_than_is_wanted() -> None:
    found = sizes(sized(), 0.006, 0.0027)
    assert max(found) <= 2 * usual(found) + 2
    assert sum(0.006 + 0.0027 * texts > 0.12 for texts in found) <= SETTLED / PROBES + 1


def test_remembered_texts_say_nothing_of_the_cost() -> None:
    assert sized((4, 0.04), (0, 9.0)).wanted(BATCH_MAX) == sized((4, 0.04)).wanted(BATCH_MAX) == 10


def test_one_slow_batch_does_not_slow_the_others_for_long() -> None:
    size = sized((10, 0.1), (10, 1.0))
    assert size.wanted(BATCH_MAX) < 10
    assert usual(sizes(size, 0.0, 0.01)[20:]) == pytest.approx(10, abs=1)


def test_an_embedder_that_becomes_slower_gets_smaller_batches() -> None:
    size = sized()
    quick = usual(sizes(size, 0.0, 0.002)[20:])
    slow = usual(sizes(size, 0.0, 0.02)[20:])
    assert quick == pytest.approx(50, abs=2)
    assert slow == pytest.approx(5, abs=1)


@given(
    st.lists(st.tuples(st.integers(0, 4_096), st.floats(0, 1e6)), max_size=20),
    st.integers(1, 4_096),
    st.integers(1, 10**6),
)
def test_at_least_one_and_at_most_the_limit_are_wanted(
    batches: list[tuple[int, float]], batch_max: int, target_ms: int
) -> None:
    assert 1 <= sized(*batches, target_ms=target_ms).wanted(batch_max) <= batch_max


def test_questions_that_bring_no_new_text_take_no_room() -> None:
    size = sized((20, 0.1))
    assert size.wanted(BATCH_MAX) == 20
    for _ in range(SETTLED):
        size.observe(0, 0.0, 20)
    assert size.wanted(BATCH_MAX) == 80, "each of the next may bring one: not more than so many are taken on trust"
    for _ in range(SETTLED):
        size.observe(10, 0.05, 20)
    assert size.wanted(BATCH_MAX) == pytest.approx(40, abs=1)
