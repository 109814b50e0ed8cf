"""Who wants more than a fair share of what can be embedded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.classify.fair_share import SPAN_MS, TENANTS_MAX, FairShare, level

DEMANDS = st.lists(st.floats(0.01, 1_000), max_size=12)


def asked(**questions: int) -> FairShare:
    """Demand of tenants for so many vectors, all at once."""
    share = FairShare()
    share.advance(SPAN_MS, SPAN_MS)
    for tenant, number in questions.items():
        for _ in range(number):
            share.ask(tenant, SPAN_MS)
    return share


@given(DEMANDS, st.floats(0.01, 5_000))
def test_all_of_the_supply_is_dealt_and_no_more(demands: list[float], supply: float) -> None:
    dealt = sum(min(each, level(demands, supply)) for each in demands)
    assert dealt == pytest.approx(min(supply, sum(demands)))


@given(DEMANDS.filter(bool), st.floats(0.01, 5_000))
def test_who_wants_no_more_than_an_equal_part_has_all_of_it(demands: list[float], supply: float) -> None:
    assert level(demands, supply) >= supply / len(demands) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("demands", "supply", "expected"),
    [([], 1, math.inf), ([2, 3], 5, math.inf), ([1, 9], 5, 4), ([4, 4], 2, 1), ([9, 1, 2], 6, 3)],
)
def test_level(demands: list[float], supply: float, expected: float) -> None:
    assert level(demands, supply) == expected


def test_who_wants_most_is_over_however_much_can_be_embedded() -> None:
    share = asked(a=5, b=2, c=1)
    for seconds in (None, 1e-9):
        share.deal(seconds)
        assert [share.is_over(tenant) for tenant in "abc"] == [True, False, False]


def test_what_can_be_embedded_is_dealt_in_rounds() -> None:
    share = asked(a=50, b=20, c=3)
    share.deal(SPAN_MS / 1_000 / 30)
    assert [share.is_over(tenant) for tenant in "abc"] == [True, True, False], "13.5 each, after the three of c"
    share.deal(SPAN_MS / 1_000 / 60)
    assert [share.is_over(tenant) for tenant in "abc"] == [True, False, False]


def test_a_tenant_alone_and_tenants_that_want_the_same_are_over() -> None:
    for share in (asked(a=1), asked(a=4, b=4, c=4)):
        share.deal(None)
        assert share.is_over("a")


def test_demand_is_forgotten_with_time() -> None:
    share = asked(a=50, b=2)
    later = 9 * SPAN_MS
    share.advance(later, later)
    share.ask("b", later)
    share.deal(None)
    assert [share.is_over(tenant) for tenant in "ab"] == [False, True]


def test_a_question_that_came_earlier_counts_as_if_it_had_been_read_then() -> None:
    share = asked(early=1)
    share.advance(2 * SPAN_MS, 2 * SPAN_MS)
    for _ in range(2):
        share.ask("late", SPAN_MS)
    share.ask("early", SPAN_MS)
    share.ask("now", 2 * SPAN_MS)
    share.deal(None)
    assert [share.is_over(tenant) for tenant in ("early", "late", "now")] == [False, False, True]


def test_of_very_many_tenants_the_largest_are_remembered() -> None:
    share = asked(flood=3, **{f"t{number}": 1 for number in range(TENANTS_MAX)})
    share.advance(SPAN_MS, SPAN_MS)
    share.deal(SPAN_MS / 1_000 / (TENANTS_MAX // 2 + 1))
    assert share.is_over("flood")
    assert not share.is_over(f"t{TENANTS_MAX - 1}")


@pytest.mark.parametrize("came_ms", [0, -(10**15), 10**15])
def test_no_stamp_is_too_strange(came_ms: int) -> None:
    share = asked(a=1)
    share.advance(came_ms, 10**15)
    share.ask("a", came_ms)
    share.ask("b", SPAN_MS)
    share.deal(0.1)
    assert share.is_over("a"), "who wants most always is, whatever the stamps say"
