from __future__ import annotations

from refrain.schemas.requests import CacheMode
from tests.simulation import faults, traffic


def test_the_same_seed_asks_the_same_and_another_asks_otherwise() -> None:
    assert traffic.requests(1, 300) == traffic.requests(1, 300)
    assert traffic.requests(1, 300) != traffic.requests(2, 300)


def test_traffic_holds_every_kind_of_request() -> None:
    made = traffic.requests(1, 500)
    texts = [traffic.question(request) for request in made]

    assert len(made) == 500
    assert {request.cache for request in made} == set(CacheMode)
    assert any("[simulate:fail]" in text for text in texts)
    assert any(request.tags for request in made)
    assert len(set(texts)) < len(texts)


def test_a_plan_hits_every_processor_and_repeats_for_its_seed() -> None:
    planned = faults.plan(1, 50, 20_000, 2_000)

    assert planned == faults.plan(1, 50, 20_000, 2_000)
    assert {fault.processor for fault in planned} == set(faults.PROCESSORS)
    assert all(fault.pause_ms > 2_000 for fault in planned if fault.kind == "pause")
    assert [fault.after_answered for fault in planned] == sorted(fault.after_answered for fault in planned)


def test_lookup_and_classify_are_hit_most() -> None:
    planned = [fault.processor for seed in range(20) for fault in faults.plan(seed, 50, 20_000, 2_000)]
    most = sorted(faults.PROCESSORS, key=planned.count, reverse=True)

    assert most[:2] == ["lookup", "classify"]
