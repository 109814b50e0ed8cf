"""One tenant's flood passes by; those that keep to their share of what can be embedded are looked up."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from refrain.streams.settings import Classify
from tests.streams.classify.entrance import NOW_MS, ask, asked_of
from tests.streams.classify.test_overload import LIMITS, MORE_LEFT, WAIT_MAX_MS, Loaded
from tests.streams.classify.test_twice_the_capacity import CAPACITY, START_MS, Asking, Simulation, ms_p99

SPAN_MS = 8_000
FLOOD = "flood"
STEADY = 0.9
"""The share of the time that the model has, beside what a worker does else."""


def arrivals_of(rates: Mapping[str, float], seed: int, until_ms: int) -> list[tuple[int, str]]:
    """When which tenant asks: each at its rate (a second), unevenly; the flood begins a second later."""
    chance = random.Random(seed)
    found: list[tuple[int, str]] = []
    for tenant, rate in rates.items():
        every_ms = 1_000 / rate
        at = START_MS + (1_000 if tenant == FLOOD else 0) + chance.random() * every_ms
        while at < until_ms:
            found.append((int(at + chance.uniform(-0.2, 0.2) * every_ms), tenant))
            at += every_ms
    return sorted(found)


def run(rates: Mapping[str, float], seed: int = 0) -> list[Asking]:
    asked = arrivals_of(rates, seed, START_MS + SPAN_MS)
    simulation = Simulation([at for at, _ in asked], Classify(), tenants=[tenant for _, tenant in asked])
    found = simulation.run()
    assert all(order == sorted(order) for order in simulation.orders())
    return found


@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    calm=st.lists(st.floats(0.1, 1.0), min_size=1, max_size=6),
    flood=st.floats(1.0, 8.0),
    seed=st.integers(0, 1_000),
)
@example(calm=[1.0], flood=1.0, seed=0)
@example(calm=[1.0] * 6, flood=8.0, seed=0)
@example(calm=[1.0, 0.1], flood=2.0, seed=0)
@example(calm=[0.5, 1.0], flood=8.0, seed=20)
def test_no_question_of_a_tenant_within_its_share_passes_by(calm: list[float], flood: float, seed: int) -> None:
    share = STEADY * CAPACITY / (len(calm) + 1)
    rates = {f"calm-{at}": part * share for at, part in enumerate(calm)} | {FLOOD: flood * CAPACITY}
    found = run(rates, seed)
    assert [each for each in found if each.passed_by and each.tenant != FLOOD] == []


def test_the_flood_passes_by_and_everybody_is_told_in_time() -> None:
    found = run({"calm-0": 4.0, "calm-1": 5.0, FLOOD: 5 * CAPACITY})
    of_flood = [each for each in found if each.tenant == FLOOD]
    assert sum(each.passed_by for each in of_flood) > 0.7 * len(of_flood)
    assert any(not each.passed_by for each in of_flood[len(of_flood) // 2 :]), "it has what others leave"
    assert ms_p99(found) < 1_000


def test_tenants_that_flood_alike_are_treated_alike() -> None:
    found = run({"a": CAPACITY, "b": CAPACITY, "calm": 3.0})
    passed = {tenant: sum(each.passed_by for each in found if each.tenant == tenant) for tenant in ("a", "b", "calm")}
    assert passed["calm"] == 0
    assert 0.5 < passed["a"] / passed["b"] < 2


def test_in_a_batch_that_is_late_the_tenant_that_wants_most_passes_by_and_the_order_stays() -> None:
    loaded = Loaded()
    tenants = ["flood", "flood", "calm", "flood", "flood"]
    records = [ask(f"q{n}", n, category="code", tenant=tenant) for n, tenant in enumerate(tenants)]
    events = [asked_of([out]) for out in loaded(*records)]
    assert [event.origin.offset for event in events] == [0, 1, 2, 3, 4]
    assert [event.overload for event in events] == [True, True, False, True, True]
    assert loaded.metric("refrain_questions_overload_total") == 4


def test_a_batch_that_is_processed_again_alone_or_whole_has_the_same_outcome() -> None:
    loaded = Loaded()
    records = [ask(f"q{n}", n, category="code", tenant="calm" if n == 2 else "flood") for n in range(5)]
    first = loaded(*records)
    assert loaded.entrance(*records) == first
    assert [out for record in records for out in loaded.entrance(record)] == first


def test_remembered_texts_are_no_demand() -> None:
    loaded = Loaded()
    loaded.entrance(ask("known", 0, category="code", tenant="hits"))
    known = [ask("known", n, category="code", tenant="hits") for n in range(1, 9)]
    new = [ask(f"q{n}", n, category="code", tenant="flood" if n % 3 else "hits") for n in range(9, 15)]
    events = {(each := asked_of([out])).origin.offset: each for out in loaded(*known, *new)}
    assert not any(events[n].overload for n in range(1, 9))
    assert [events[n].overload for n in range(9, 15)] == [False, True, True, False, True, True]


@pytest.mark.parametrize("times", [1, 3, 4, 5])
def test_who_waited_many_times_as_long_passes_by_whatever_its_share(times: int) -> None:
    loaded = Loaded(limits=LIMITS, wait_ms=times * WAIT_MAX_MS + 1)
    out = loaded(*(ask(f"q{n}", n, category="code", tenant="calm" if n == 2 else "flood") for n in range(5)))
    assert asked_of([out[2]]).overload is (times >= 4)


def test_a_clock_that_is_set_back_does_not_hide_a_flood() -> None:
    loaded = Loaded()
    loaded(*(ask(f"a{n}", n, category="code", tenant="flood") for n in range(5)))
    late = [
        ask(f"b{n}", n, category="code", tenant="calm" if n == 7 else "flood")._replace(timestamp_ms=NOW_MS - 3_600_000)
        for n in range(5, 10)
    ]
    loaded.entrance.classifier.polled(late, lambda: MORE_LEFT, NOW_MS - 3_600_000 + WAIT_MAX_MS + 1)
    overload = [asked_of([out]).overload for out in loaded.entrance(*late)]
    assert not overload[2]
