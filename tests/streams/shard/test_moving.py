"""Policies that move a category: load and its bound, lifetimes, the old answer served once, the switch, observing."""

from __future__ import annotations

from typing import Any

import pytest

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.journal import CacheSwitched, HitJudged, LoadChanged
from refrain.schemas.observations import Observation
from refrain.schemas.policy import Cacheable
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.shard.fold import fold, next_timer_ms
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.state import Shard
from refrain.streams.shard.stats import stats_of
from refrain.streams.store.interface import Checkpoint
from tests.streams.shard.journal import JOURNAL_ID, Journal, effects, forward_id, near, new_shard, remembered, responses
from tests.streams.shard.journal import vector as at


def ready(journal: Journal, **category: Any) -> Shard:
    """A shard with a policy and one answer."""
    shard = new_shard()
    fold(shard, journal.policy(**category))
    remembered(journal, shard, "how?", at(1))
    return shard


def ask(journal: Journal, shard: Shard, text: str = "how?", vector: str | None = None, **fields: Any) -> Decision:
    """Ask; the decision."""
    return fold(shard, journal.ask(text, vector or at(1), **fields)).decisions[0]


def load(journal: Journal, shard: Shard, load: float, version: int = 1, valid_ms: int = 60_000) -> None:
    """The model's load moves."""
    changed = LoadChanged(version=version, model="m", load=load, valid_until_ms=journal.time_ms + valid_ms)
    fold(shard, journal.add(changed))


RELAXED = {"threshold": 0.9, "threshold_floor": 0.8, "ttl_ms": 10_000, "ttl_cap_ms": 20_000}


def test_a_hit_that_only_load_allowed_says_so_and_what_would_have_been(journal: Journal) -> None:
    shard = ready(journal, **RELAXED)
    assert ask(journal, shard, "reworded", near(0.86)).outcome is Outcome.MISS
    load(journal, shard, 0.5)
    hit = ask(journal, shard, "reworded again", near(0.86))
    assert (hit.outcome, hit.load_only, hit.load) == (Outcome.HIT, True, 0.5)
    assert (hit.threshold, hit.base_threshold, hit.ttl_ms, hit.base_ttl_ms) == (0.85, 0.9, 15_000, 10_000)
    near_enough = ask(journal, shard, "the same", near(0.95))
    assert (near_enough.outcome, near_enough.load_only) == (Outcome.HIT, False)


def test_a_hit_that_lives_by_load_alone_says_so(journal: Journal) -> None:
    shard = ready(journal, **RELAXED)
    load(journal, shard, 1.0)
    assert ask(journal, shard, after_ms=15_000).load_only is True
    load(journal, shard, 0.0, version=2)
    assert ask(journal, shard).reason is Reason.EXPIRED


def test_a_load_that_is_not_renewed_ends_by_itself(journal: Journal) -> None:
    shard = ready(journal, **RELAXED)
    load(journal, shard, 1.0, valid_ms=1_000)
    assert ask(journal, shard, "a", near(0.81)).outcome is Outcome.HIT
    assert ask(journal, shard, "b", near(0.81), after_ms=1_000).outcome is Outcome.MISS


def test_false_hits_beyond_the_bound_shrink_the_relaxation_also_after_a_restart(journal: Journal) -> None:
    shard = ready(journal, **RELAXED, false_hit_bound=0.1)
    load(journal, shard, 1.0)

    def judge(version: int, correct: bool) -> None:
        event = HitJudged(
            version=version, decision_id="d", correct=correct, who="w", category="code", entry_id="9-9-elsewhere"
        )
        fold(shard, journal.add(event))

    def threshold(of: Shard) -> float | None:
        return ask(journal, of, "far", at(0, 1), mode=CacheMode.ONLY).threshold

    assert threshold(shard) == 0.8
    judge(2, False)
    assert threshold(shard) == 0.8
    for version in range(3, 12):
        judge(version, False)
    # Ten wrong ones beside the ten right ones that every category begins with: a share of 0.5, five times the bound.
    assert threshold(shard) == pytest.approx(0.88)
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    assert threshold(load_shard(0, 32, JOURNAL_ID, shard.store)) == pytest.approx(0.88)
    for version in range(12, 300):
        judge(version, True)
    assert threshold(shard) == 0.8


def test_expired_entries_leave_with_a_tick_and_are_never_served_before(journal: Journal) -> None:
    shard = ready(journal, ttl_ms=1_000)
    remembered(journal, shard, "young", at(0, 1), after_ms=900)
    due = next_timer_ms(shard)
    assert due is not None
    assert ask(journal, shard, after_ms=200, mode=CacheMode.ONLY).outcome is Outcome.ERROR
    swept = fold(shard, journal.tick(after_ms=due - journal.time_ms))
    assert swept.counts == [("evicted", "code", "expired")] * len(swept.counts)
    assert len(swept.counts) >= 1
    assert shard.entries.oldest("code", 9, 1 << 60) == [] or len(shard.entries) == 1


def test_entries_are_kept_for_as_long_as_load_may_stretch_their_life(journal: Journal) -> None:
    shard = ready(journal, ttl_ms=1_000, ttl_cap_ms=5_000, stale_while_revalidate_ms=1_000)
    fold(shard, journal.tick(after_ms=5_500))
    assert len(shard.entries) == 1
    fold(shard, journal.tick(after_ms=1_000))
    assert len(shard.entries) == 0


def test_the_old_answer_is_served_once_while_one_refresh_is_forwarded(journal: Journal) -> None:
    shard = ready(journal, ttl_ms=1_000, stale_while_revalidate_ms=9_000)
    first = fold(shard, journal.ask("how?", at(1), after_ms=5_000))
    (response,) = responses(first)
    assert response.decision is not None
    assert (response.outcome, response.decision.stale, response.decision.reason) == (Outcome.HIT, True, "stale")
    assert response.decision.entry_age_ms == 5_000
    assert first.decisions[0].forward_id == forward_id(first)
    second = ask(journal, shard)
    assert (second.outcome, second.forward_id) == (Outcome.COALESCED, forward_id(first))
    landed = fold(shard, journal.answer(forward_id(first), "fresh"))
    assert [each.request_id for each in responses(landed)] == ["r2"]
    third = fold(shard, journal.ask("how?", at(1)))
    (response,) = responses(third)
    assert response.body is not None
    assert (response.outcome, response.body["choices"][0]["message"]["content"]) == (Outcome.HIT, "fresh")


def test_a_stale_answer_is_not_served_twice_even_if_the_refresh_fails(journal: Journal) -> None:
    shard = ready(journal, ttl_ms=1_000, stale_while_revalidate_ms=9_000)
    first = fold(shard, journal.ask("how?", at(1), after_ms=2_000))
    fold(shard, journal.fail(forward_id(first)))
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    shard = load_shard(0, 32, JOURNAL_ID, shard.store)
    assert ask(journal, shard).outcome is Outcome.MISS


@pytest.mark.parametrize("mode", [CacheMode.ONLY, CacheMode.OBSERVE, CacheMode.REFRESH])
def test_only_requests_that_may_call_a_model_and_want_the_cache_get_a_stale_answer(
    journal: Journal, mode: CacheMode
) -> None:
    shard = ready(journal, ttl_ms=1_000, stale_while_revalidate_ms=9_000)
    decision = ask(journal, shard, after_ms=2_000, mode=mode)
    assert decision.outcome is (Outcome.ERROR if mode is CacheMode.ONLY else Outcome.MISS)
    assert not decision.stale


def test_an_older_answer_does_not_replace_the_one_that_a_refresh_brought(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    old = fold(shard, journal.ask("how?", at(1)))
    new = fold(shard, journal.ask("how?", at(1), mode=CacheMode.REFRESH))
    fold(shard, journal.answer(forward_id(new), "new"))
    assert fold(shard, journal.answer(forward_id(old), "old")).counts == [("not_admitted", "superseded")]
    (response,) = responses(fold(shard, journal.ask("how?", at(1))))
    assert response.body is not None
    assert response.body["choices"][0]["message"]["content"] == "new"


@pytest.mark.parametrize("category", [None, "code"])
def test_switched_off_everything_is_forwarded_and_no_entry_touched(journal: Journal, category: str | None) -> None:
    shard = ready(journal)
    flying = fold(shard, journal.ask("when?", at(0, 1)))
    fold(shard, journal.add(CacheSwitched(version=1, on=False, category=category)))
    off = ask(journal, shard)
    assert (off.outcome, off.reason) == (Outcome.BYPASS, Reason.SWITCHED_OFF)
    landed = fold(shard, journal.answer(forward_id(flying), "late"))
    assert ("not_admitted", "switched_off") in landed.counts
    assert stats_of(shard).categories["code"].off
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    shard = load_shard(0, 32, JOURNAL_ID, shard.store)
    assert ask(journal, shard).outcome is Outcome.BYPASS
    fold(shard, journal.add(CacheSwitched(version=2, on=True, category=category)))
    assert ask(journal, shard).outcome is Outcome.HIT


def test_another_category_stays_on(journal: Journal) -> None:
    shard = ready(journal)
    fold(shard, journal.add(CacheSwitched(version=1, on=False, category="docs")))
    assert ask(journal, shard).outcome is Outcome.HIT


@pytest.mark.parametrize(("text", "equal"), [("the answer to how?", True), ("something else", False)])
def test_an_observed_request_tells_how_the_models_answer_compares(journal: Journal, text: str, equal: bool) -> None:
    shard = ready(journal)
    asked = fold(shard, journal.ask("how so?", near(0.95), mode=CacheMode.OBSERVE))
    decision = asked.decisions[0]
    assert (decision.reason, decision.outcome) == (Reason.OBSERVED, Outcome.MISS)
    (effect,) = effects(fold(shard, journal.answer(forward_id(asked), text)), "observations")
    seen = Observation.decode(effect.value or b"")
    assert (seen.decision_id, seen.entry_id, seen.equal) == (decision.id, decision.entry_id, equal)
    assert (seen.cached is None, seen.answered is None) == (equal, equal)


def test_what_the_model_said_is_left_out_of_an_observation_that_would_be_too_large(journal: Journal) -> None:
    shard = ready(journal, limits={"response_bytes_max": 3_000_000})
    asked = fold(shard, journal.ask("how so?", near(0.95), mode=CacheMode.OBSERVE))
    (effect,) = effects(fold(shard, journal.answer(forward_id(asked), "x" * 2_100_000)), "observations")
    seen = Observation.decode(effect.value or b"")
    assert (seen.answered, seen.equal, seen.cached is None) == (None, False, False)


def test_an_observed_category_serves_nobody_and_is_counted(journal: Journal) -> None:
    shard = ready(journal, cache=Cacheable.OBSERVE)
    assert ask(journal, shard).reason is Reason.OBSERVED
    tally = stats_of(shard).categories["code"].tally
    assert (tally.asked, tally.hits, tally.forwarded, tally.observed, tally.admitted) == (2, 0, 2, 1, 1)


def test_stats_count_what_came_of_every_request(journal: Journal) -> None:
    shard = ready(journal, **RELAXED)
    load(journal, shard, 1.0)
    ask(journal, shard, "b", near(0.81))
    ask(journal, shard, "c", at(0, 1))
    ask(journal, shard, "c", at(0, 1))
    ask(journal, shard, "d", at(0, 0, 1), category="secret")
    ask(journal, shard, "e", at(0, 0, 1), category="unheard-of")
    stats = stats_of(shard)
    code = stats.categories["code"]
    assert (code.tally.asked, code.tally.hits, code.tally.load_only) == (4, 1, 1)
    assert (code.tally.forwarded, code.tally.coalesced, code.entries) == (2, 1, 1)
    assert (code.threshold, code.base_threshold, code.ttl_ms, code.base_ttl_ms) == (0.8, 0.9, 20_000, 10_000)
    assert stats.categories["secret"].tally.passed == 1
    assert stats.categories["-"].tally.passed == 1
    assert stats.loads == {"m": 1.0}
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    assert stats_of(load_shard(0, 32, JOURNAL_ID, shard.store)).categories == stats.categories


def test_a_hit_saves_what_the_model_took(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    asked = fold(shard, journal.ask("how?", at(1)))
    fold(shard, journal.answer(forward_id(asked), usage={"total_tokens": 120}))
    hit = ask(journal, shard)
    assert (hit.saved_tokens, hit.saved_ms) == (120, 0)
    assert stats_of(shard).categories["code"].tally.saved_tokens == 120
