"""What a lookup worker's metrics say of decisions, and of its shards as they stand."""

from __future__ import annotations

from typing import Any

import pytest

from refrain.schemas.decisions import Decision, Guarded, Reason
from refrain.schemas.documents import Tally
from refrain.schemas.responses import Outcome
from refrain.schemas.stats import CategoryNow, ShardStats
from refrain.streams.errors import RefusalCode
from refrain.streams.lookup.metrics import LookupMetrics, count, show
from refrain.streams.metrics import Metrics, build_version
from refrain.streams.shard import counts
from refrain.streams.shard.admission import NotAdmitted
from refrain.streams.shard.counts import Dropped, Evicted
from refrain.streams.shard.outcome import FoldResult

KNOWN = ("code", "docs")


@pytest.fixture
def metrics() -> LookupMetrics:
    return LookupMetrics(Metrics())


def value(metrics: LookupMetrics, name: str, **labels: str) -> float | None:
    return metrics.shared.registry.get_sample_value(name, labels)


def decision(outcome: Outcome = Outcome.HIT, category: str | None = "code", **more: Any) -> Decision:
    return Decision(
        id="1-2-t",
        partition=0,
        offset=1,
        time_ms=1,
        tenant="acme",
        category=category,
        model="m",
        outcome=outcome,
        reason=Reason.SIMILAR_TEXT,
        **more,
    )


def test_categories_that_no_policy_defines_make_one_series(metrics: LookupMetrics) -> None:
    passed = [decision(Outcome.BYPASS, f"made-up-{number}") for number in range(3_000)]
    count(metrics, FoldResult(decisions=[*passed, decision(Outcome.BYPASS, None), decision()]), KNOWN)
    samples = next(each for each in metrics.decisions.collect()).samples
    by_category = {each.labels["category"]: each.value for each in samples if each.name.endswith("_total")}
    assert by_category == {"-": 3_000, "": 1, "code": 1}


def test_hits_say_what_they_saved_and_what_allowed_them(metrics: LookupMetrics) -> None:
    hits = [
        decision(load_only=True, saved_ms=1_500, saved_tokens=40),
        decision(stale=True, saved_ms=250, saved_tokens=2),
        decision(),
    ]
    count(metrics, FoldResult(decisions=hits), KNOWN)
    assert value(metrics, "refrain_hits_load_only_total", category="code") == 1
    assert value(metrics, "refrain_stale_served_total", category="code") == 1
    assert value(metrics, "refrain_saved_tokens_total", category="code") == 42
    assert value(metrics, "refrain_saved_seconds_total", category="code") == 1.75
    labels = {"category": "code", "outcome": "hit", "reason": "similar_text"}
    assert value(metrics, "refrain_decisions_total", **labels) == 3


def test_what_was_not_served_is_no_hit_of_load(metrics: LookupMetrics) -> None:
    count(
        metrics,
        FoldResult(decisions=[decision(Outcome.MISS, load_only=True, stale=True), decision(category=None)]),
        KNOWN,
    )
    assert value(metrics, "refrain_hits_load_only_total", category="code") is None
    assert value(metrics, "refrain_stale_served_total", category="code") is None
    assert value(metrics, "refrain_decisions_total", category="", outcome="hit", reason="similar_text") == 1


def test_entries_are_counted_as_they_come_and_leave(metrics: LookupMetrics) -> None:
    left = [counts.evicted("code", why) for why in Evicted]
    more = [
        counts.admitted("code"),
        counts.not_admitted(NotAdmitted.EMPTY),
        counts.dropped(Dropped.REPEATED),
        counts.timed_out("code"),
        counts.forgotten(),
        counts.refused(RefusalCode.NOT_ASKED),
        counts.policy_set(7),
    ]
    count(metrics, FoldResult(counts=[*left, *more]), KNOWN)
    for reason in ("replaced", "cap", "total", "expired", "withdrawn", "judged"):
        assert value(metrics, "refrain_entries_evicted_total", category="code", reason=reason) == 1
    assert value(metrics, "refrain_entries_admitted_total", category="code") == 1
    assert value(metrics, "refrain_entries_not_admitted_total", reason="empty") == 1
    assert value(metrics, "refrain_dropped_total", processor="lookup", reason="repeated") == 1
    assert value(metrics, "refrain_dropped_total", processor="lookup", reason="timed_out") == 1
    assert value(metrics, "refrain_dropped_total", processor="lookup", reason="forgotten") == 1
    assert value(metrics, "refrain_refused_total", processor="lookup", reason="not_asked") == 1
    assert value(metrics, "refrain_policy_version") == 7


def now(entries: int = 0, room: int = 0, **more: Any) -> CategoryNow:
    return CategoryNow(tally=Tally(), entries=entries, room=room, **more)


def shard(partition: int, withdrawing: int = 0, **categories: CategoryNow) -> ShardStats:
    return ShardStats(
        partition=partition,
        time_ms=1,
        policy_version=1,
        control=1,
        entries=sum(each.entries for each in categories.values()),
        waiting=0,
        withdrawing=withdrawing,
        loads={},
        categories=categories,
    )


def test_the_shards_of_a_worker_are_shown_together(metrics: LookupMetrics) -> None:
    show(
        metrics,
        [
            shard(0, 2, code=now(3, 10, threshold=0.9, ttl_ms=1_000), chat=now(1, 5, off=True)),
            shard(1, 1, code=now(4, 10, threshold=0.85, ttl_ms=2_500)),
        ],
    )
    assert value(metrics, "refrain_room_entries", category="code") == 7
    assert value(metrics, "refrain_room_cap", category="code") == 20
    assert value(metrics, "refrain_threshold", category="code") == 0.85, "the most relaxed one"
    assert value(metrics, "refrain_ttl_seconds", category="code") == 2.5
    assert value(metrics, "refrain_switched_off", category="code") == 0
    assert value(metrics, "refrain_room_entries", category="chat") == 1
    assert value(metrics, "refrain_threshold", category="chat") is None
    assert value(metrics, "refrain_ttl_seconds", category="chat") is None
    assert value(metrics, "refrain_switched_off", category="chat") == 1
    assert value(metrics, "refrain_withdrawing") == 3


def test_a_category_is_off_until_the_last_shard_has_it_on(metrics: LookupMetrics) -> None:
    show(metrics, [shard(0, code=now(off=False)), shard(1, code=now(off=True))])
    assert value(metrics, "refrain_switched_off", category="code") == 1
    show(metrics, [shard(0, code=now(off=False)), shard(1, code=now(off=False))])
    assert value(metrics, "refrain_switched_off", category="code") == 0


GAUGES = (
    "refrain_room_entries",
    "refrain_room_cap",
    "refrain_threshold",
    "refrain_ttl_seconds",
    "refrain_switched_off",
)


def test_a_category_that_no_shard_knows_any_more_leaves_the_gauges(metrics: LookupMetrics) -> None:
    code = now(1, 2, threshold=0.9, ttl_ms=1)
    show(metrics, [shard(0, 1, code=code, chat=code)])
    show(metrics, [shard(0, code=code)])
    for gauge in GAUGES:
        assert value(metrics, gauge, category="code") is not None
        assert value(metrics, gauge, category="chat") is None
    show(metrics, [])
    assert all(value(metrics, gauge, category="code") is None for gauge in GAUGES)
    assert value(metrics, "refrain_withdrawing") == 0


def test_a_threshold_that_is_no_more_leaves_while_its_category_stays(metrics: LookupMetrics) -> None:
    show(metrics, [shard(0, code=now(1, 2, threshold=0.9, ttl_ms=1))])
    show(metrics, [shard(0, code=now(1, 2))])
    assert value(metrics, "refrain_threshold", category="code") is None
    assert value(metrics, "refrain_room_entries", category="code") == 1


def test_the_guards_that_refused_and_the_similarity_are_counted(metrics: LookupMetrics) -> None:
    guards = [
        Guarded(entry_id="1", guard="numbers", verdict="refused"),
        Guarded(entry_id="2", guard="numbers", verdict="refused"),
        Guarded(entry_id="2", guard="order", verdict="passed"),
    ]
    refused = decision(Outcome.MISS, similarity=0.97, guards=tuple(guards))
    refused = refused.model_copy(update={"reason": Reason.GUARD_REFUSED})
    count(metrics, FoldResult(decisions=[refused, decision(similarity=0.91), decision()]), KNOWN)
    assert value(metrics, "refrain_guard_refusals_total", guard="numbers") == 1
    assert value(metrics, "refrain_guard_refusals_total", guard="order") is None
    assert value(metrics, "refrain_similarity_count", outcome="miss") == 1
    assert value(metrics, "refrain_similarity_sum", outcome="hit") == 0.91


def test_no_time_of_creation_stands_beside_a_series(metrics: LookupMetrics) -> None:
    count(metrics, FoldResult(decisions=[decision(Outcome.BYPASS, f"made-up-{n}") for n in range(300)]), KNOWN)
    samples = [each.name for family in metrics.shared.registry.collect() for each in family.samples]
    assert samples
    assert not [name for name in samples if name.endswith("_created")]
    assert len([name for name in samples if name.startswith("refrain_decisions")]) == 1


def test_every_worker_says_which_version_runs(metrics: LookupMetrics) -> None:
    assert value(metrics, "refrain_build_info", version=build_version()) == 1
