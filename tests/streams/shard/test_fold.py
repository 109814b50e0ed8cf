"""What folding does, seen through records in and records out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refrain.schemas.base import Sealed
from refrain.schemas.control import ReportLoad
from refrain.schemas.decisions import Reason
from refrain.schemas.journal import Answered, LoadChanged
from refrain.schemas.policy import Cacheable, Quota
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.errors import JournalUnreadable, StoreDamaged
from refrain.streams.messaging.routes import decode_route
from refrain.streams.shard.fold import fold
from tests.streams.shard.journal import (
    Journal,
    decisions,
    effects,
    fold_all,
    forward_id,
    near,
    new_shard,
    remembered,
    responses,
    vector,
)


def test_the_first_question_is_forwarded_and_its_answer_goes_to_the_requester(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    asked = fold(shard, journal.ask("how?", vector(1)))
    assert responses(asked) == []
    assert asked.decisions[0].reason is Reason.NAMESPACE_EMPTY
    answered = fold(shard, journal.answer(forward_id(asked), "so"))
    (response,) = responses(answered)
    assert (response.outcome, response.request_id) == (Outcome.MISS, "r0")
    assert response.body is not None
    assert response.body["choices"][0]["message"]["content"] == "so"
    assert effects(answered, "responses")[0].key == b"k"


def test_the_same_text_is_served_from_the_cache(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", vector(1))
    (response,) = responses(fold(shard, journal.ask("how?", vector(1))))
    assert response.outcome is Outcome.HIT
    assert response.decision is not None
    assert (response.decision.reason, response.decision.similarity) == (Reason.EXACT_TEXT, 1.0)
    assert response.body is not None
    assert response.body["choices"][0]["message"]["content"] == "the answer to how?"
    assert response.body["id"].startswith("chatcmpl-0-1-")


def test_other_words_are_served_at_the_threshold_and_not_below(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", vector(1))
    at = fold(shard, journal.ask("in what way?", near(0.9001)))
    below = fold(shard, journal.ask("why?", near(0.8999)))
    assert [at.decisions[0].outcome, below.decisions[0].outcome] == [Outcome.HIT, Outcome.MISS]
    assert below.decisions[0].reason is Reason.BELOW_THRESHOLD
    assert below.decisions[0].similarity == pytest.approx(0.8999, abs=1e-4)


def test_the_best_candidate_is_served_and_a_tie_goes_to_the_older(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy(coalesce=False, threshold=0.9))
    for text, similarity in (("b", 0.5), ("a", 1.0), ("c", 1.0)):
        asked = fold(shard, journal.ask(text, near(similarity), mode=CacheMode.REFRESH))
        fold(shard, journal.answer(forward_id(asked), text))
    (response,) = responses(fold(shard, journal.ask("d", vector(1))))
    assert response.body is not None
    assert response.body["choices"][0]["message"]["content"] == "a"


@pytest.mark.parametrize("other", [{"tenant": "other", "space": "other"}, {"context": "c1"}, {"embedder": "e2"}])
def test_nothing_is_served_across_tenants_contexts_or_embedders(journal: Journal, other: dict[str, Any]) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", vector(1))
    asked = fold(shard, journal.ask("how?", vector(1), **other))
    assert asked.decisions[0].outcome is Outcome.MISS


def test_a_miss_names_the_parts_of_the_context_that_differ(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", vector(1))
    changed = {"messages[0]": "bb"}
    asked = fold(shard, journal.ask("how?", vector(1), context="c1", fields=changed))
    assert (asked.decisions[0].reason, asked.decisions[0].differs) == (Reason.CONTEXT_DIFFERS, ("messages[0]",))


def test_a_shared_category_serves_all_tenants_and_others_do_not(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy(scope="shared"))
    remembered(journal, shard, "how?", vector(1), space="*")
    hit = fold(shard, journal.ask("how?", vector(1), tenant="other", space="*"))
    assert hit.decisions[0].outcome is Outcome.HIT
    fold(shard, journal.policy(version=1, scope="tenant"))
    missed = fold(shard, journal.ask("how?", vector(1), tenant="third", space="*"))
    assert missed.decisions[0].outcome is Outcome.MISS


def test_an_entry_past_its_lifetime_is_not_served(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy(ttl_ms=1_000))
    remembered(journal, shard, "how?", vector(1))
    young = fold(shard, journal.ask("how?", vector(1), after_ms=999))
    old = fold(shard, journal.ask("how?", vector(1), after_ms=500))
    assert [young.decisions[0].outcome, old.decisions[0].outcome] == [Outcome.HIT, Outcome.MISS]
    assert old.decisions[0].reason is Reason.EXPIRED


def test_like_questions_on_their_way_wait_for_one_answer(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    first = fold(shard, journal.ask("how?", vector(1)))
    second = fold(shard, journal.ask("in what way?", near(0.95)))
    third = fold(shard, journal.ask("why?", near(0.3)))
    assert effects(second, "forwards") == []
    assert second.decisions[0].outcome is Outcome.COALESCED
    assert len(effects(third, "forwards")) == 1
    told = responses(fold(shard, journal.answer(forward_id(first), "so")))
    assert [each.outcome for each in told] == [Outcome.MISS, Outcome.COALESCED]
    assert [each.request_id for each in told] == ["r0", "r1"]


def test_without_coalescing_each_question_is_forwarded(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy(coalesce=False))
    folded = fold_all(shard, [journal.ask("how?", vector(1)), journal.ask("how?", vector(1))])
    assert len(effects(folded, "forwards")) == 2


def test_a_failed_answer_is_told_to_all_who_wait_and_not_kept(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    first = fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.ask("how?", vector(1)))
    told = responses(fold(shard, journal.fail(forward_id(first))))
    assert [(each.outcome, each.error.code if each.error else "") for each in told] == [
        (Outcome.ERROR, "upstream_failed")
    ] * 2
    assert len(shard.entries) == 0


def test_a_request_past_its_deadline_gets_an_error_by_a_tick_and_the_late_answer_is_kept(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    asked = fold(shard, journal.ask("how?", vector(1)))
    assert shard.flights.next_timer() == journal.time_ms + 10_000
    early = fold(shard, journal.tick(after_ms=9_999))
    late = fold(shard, journal.tick(after_ms=1))
    assert responses(early) == []
    (told,) = responses(late)
    assert told.error is not None
    assert told.error.code == "deadline_exceeded"
    assert responses(fold(shard, journal.answer(forward_id(asked)))) == []
    assert len(shard.entries) == 1
    assert fold(shard, journal.ask("how?", vector(1))).decisions[0].outcome is Outcome.HIT


def test_a_flight_that_nobody_answers_is_forgotten(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.tick(after_ms=60_000))
    fold(shard, journal.tick())
    assert len(shard.flights) == 0
    assert shard.flights.next_timer() is None


def test_a_second_answer_is_dropped_and_one_nobody_asked_for_is_a_dead_letter(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    asked = fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.answer(forward_id(asked)))
    second = fold(shard, journal.answer(forward_id(asked)))
    assert (second.effects, second.counts) == ([], [("dropped", "second_answer")])
    unasked = fold(shard, journal.answer("0-77-feedfeedfeed"))
    (letter,) = effects(unasked, "dead-letters")
    assert dict(letter.headers)["refrain.dead.reason"] == (
        b"not_asked: no question 0-77-feedfeedfeed was forwarded by this shard"
    )


def test_a_repeated_question_is_skipped(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    fold(shard, journal.ask("how?", vector(1), offset=5))
    again = fold(shard, journal.ask("how?", vector(1), offset=5))
    assert (again.effects, again.decisions) == ([], [])


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ({}, True),
        ({"finish_reason": "length"}, False),
        ({"finish_reason": None}, False),
        ({"text": "  "}, False),
        ({"message": {"refusal": "no"}}, False),
        ({"message": {"tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"}, False),
        ({"choices": []}, False),
        ({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}] * 2}, False),
        ({"text": "x" * 300_000}, False),
    ],
)
def test_only_whole_answers_are_kept_and_all_are_delivered(
    journal: Journal, answer: dict[str, Any], kept: bool
) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    asked = fold(shard, journal.ask("how?", vector(1)))
    folded = fold(shard, journal.answer(forward_id(asked), **answer))
    assert [each.outcome for each in responses(folded)] == [Outcome.MISS]
    assert len(shard.entries) == kept


def test_an_answer_too_large_for_a_response_becomes_an_error(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy(limits={"response_bytes_max": 10_000}))
    asked = fold(shard, journal.ask("how?", vector(1)))
    (response,) = responses(fold(shard, journal.answer(forward_id(asked), "x" * 10_000)))
    assert response.error is not None
    assert response.error.code == "answer_too_large"


def test_an_answer_that_is_no_json_is_told_as_an_error_and_buried(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    asked = fold(shard, journal.ask("how?", vector(1)))
    folded = fold(shard, journal.add(Answered(forward_id=forward_id(asked), body=Sealed(data="[1"))))
    assert [each.outcome for each in responses(folded)] == [Outcome.ERROR]
    assert len(effects(folded, "dead-letters")) == 1
    assert len(shard.flights) == 0


def test_over_its_cap_a_tenant_loses_what_was_not_used_for_longest(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy(quota=Quota(cap=2)))
    remembered(journal, shard, "a", vector(1))
    remembered(journal, shard, "b", vector(0, 1))
    fold(shard, journal.ask("a", vector(1)))
    remembered(journal, shard, "c", vector(0, 0, 1))
    outcomes = [fold(shard, journal.ask(t, v)).decisions[0].outcome for t, v in (
        ("a", vector(1)), ("b", vector(0, 1)), ("c", vector(0, 0, 1)))]  # fmt: skip
    assert outcomes == [Outcome.HIT, Outcome.MISS, Outcome.HIT]


def test_a_refreshed_answer_replaces_the_one_before(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", vector(1))
    asked = fold(shard, journal.ask("how?", vector(1), mode=CacheMode.REFRESH))
    fold(shard, journal.answer(forward_id(asked), "newer"))
    (response,) = responses(fold(shard, journal.ask("how?", vector(1))))
    assert response.body is not None
    assert response.body["choices"][0]["message"]["content"] == "newer"
    assert len(shard.entries) == 1


def test_observing_decides_and_serves_nobody(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", vector(1))
    observed = fold(shard, journal.ask("how?", vector(1), mode=CacheMode.OBSERVE))
    assert responses(observed) == []
    decision = observed.decisions[0]
    assert (decision.outcome, decision.reason) == (Outcome.MISS, Reason.OBSERVED)
    assert decision.entry_id is not None


def test_only_from_the_cache_means_an_error_when_nothing_is_kept(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    (response,) = responses(fold(shard, journal.ask("how?", vector(1), mode=CacheMode.ONLY)))
    assert response.error is not None
    assert response.error.code == "not_cached"


def test_a_question_without_a_vector_matches_exactly_or_not_at_all(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", None)
    hit = fold(shard, journal.ask("how?", None))
    missed = fold(shard, journal.ask("how", None))
    assert [hit.decisions[0].reason, missed.decisions[0].reason] == [Reason.EXACT_TEXT, Reason.EXACT_ONLY]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"category": "secret"}, Reason.CATEGORY_NEVER), ({"category": "strange"}, Reason.CATEGORY_UNKNOWN)],
)
def test_what_may_not_be_cached_is_passed_through_and_leaves_nothing(
    journal: Journal, fields: dict[str, Any], reason: Reason
) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    asked = fold(shard, journal.ask("how?", vector(1), **fields))
    (forward,) = effects(asked, "forwards")
    route = decode_route(json.loads(forward.value or b"")["route"], (forward.key or b"").decode())
    assert route.to == "direct"
    assert asked.decisions[0].reason is reason
    assert list(shard.overlay.uncommitted) == [b"policies/policy"]


def test_without_a_policy_everything_is_passed_through(journal: Journal) -> None:
    shard = new_shard()
    asked = fold(shard, journal.ask("how?", vector(1)))
    assert asked.decisions[0].reason is Reason.NO_POLICY
    assert shard.overlay.uncommitted == {}


def test_the_stricter_of_two_policies_decides(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", vector(1))
    newer = fold(shard, journal.ask("so?", near(0.93), seen_version=9, seen_threshold=0.95))
    assert newer.decisions[0].outcome is Outcome.MISS
    never = journal.ask("how?", vector(1))
    forbidden = never._replace(value=(never.value or b"").replace(b'"cache":"allow"', b'"cache":"never"'))
    assert fold(shard, forbidden).decisions[0].reason is Reason.CATEGORY_NEVER


def test_load_lowers_the_threshold_until_its_report_runs_out(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy(threshold=0.9, threshold_floor=0.8, coalesce=False))
    remembered(journal, shard, "how?", vector(1))
    until = journal.time_ms + 1_000
    fold(shard, journal.add(LoadChanged(version=3, model="m", load=1.0, valid_until_ms=until)))
    loaded = fold(shard, journal.ask("so?", near(0.85)))
    after = fold(shard, journal.ask("and so?", near(0.85), after_ms=2_000))
    assert [loaded.decisions[0].outcome, after.decisions[0].outcome] == [Outcome.HIT, Outcome.MISS]
    assert (loaded.decisions[0].threshold, loaded.decisions[0].base_threshold) == (0.8, 0.9)


def test_a_policy_command_applies_once(journal: Journal) -> None:
    shard = new_shard()
    fold_all(shard, [journal.policy(version=4, threshold=0.9), journal.policy(version=4, threshold=0.6)])
    assert shard.policy is not None
    assert shard.policy.policy.categories["code"].threshold == 0.9


def test_too_many_who_wait_are_passed_through(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy(limits={"waiting_max": 1}))
    fold(shard, journal.ask("a", vector(1)))
    assert fold(shard, journal.ask("b", vector(0, 1))).decisions[0].reason is Reason.WAITING_FULL


def test_a_record_that_cannot_be_folded_changes_nothing_and_is_told(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", vector(1))
    before = dict(shard.overlay.uncommitted)
    folded = fold(shard, journal.ask("how so?", "AAAA"))
    assert [each.outcome for each in responses(folded)] == [Outcome.ERROR]
    assert len(effects(folded, "dead-letters")) == 1
    assert next(iter(decisions([folded]))).reason is Reason.FOLD_FAILED
    assert shard.overlay.uncommitted == before
    assert fold(shard, journal.ask("how?", vector(1))).decisions[0].outcome is Outcome.HIT


def test_a_store_that_lost_an_entry_stops_the_shard_instead_of_the_question(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    remembered(journal, shard, "how?", vector(1))
    del shard.overlay.uncommitted[next(key for key in shard.overlay.uncommitted if key.startswith(b"entries/"))]
    with pytest.raises(StoreDamaged):
        fold(shard, journal.ask("how?", vector(1)))


@pytest.mark.parametrize("junk", [b"", b"\xff", b"{}", b"[]", b'{"v":1,"kind":"Strange"}', b"[" * 100_000])
def test_junk_in_the_journal_is_buried_and_the_shard_goes_on(journal: Journal, junk: bytes) -> None:
    shard = new_shard()
    folded = fold(shard, journal.add(junk))
    assert len(effects(folded, "dead-letters")) == 1
    assert shard.next_offset == 1


def test_an_unknown_version_halts_the_partition_and_changes_nothing(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    record = journal.add(b'{"v": 2, "kind": "Asked"}')
    with pytest.raises(JournalUnreadable, match="upgrade this worker"):
        fold(shard, record)
    assert shard.next_offset == record.offset


def test_time_does_not_run_backwards(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    fold(shard, journal.tick(after_ms=-500))
    assert shard.time_ms == 1_000_001


def test_a_category_that_became_never_keeps_nothing_of_what_is_on_its_way(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy())
    asked = fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.policy(version=1, cache=Cacheable.NEVER))
    folded = fold(shard, journal.answer(forward_id(asked)))
    assert [each.outcome for each in responses(folded)] == [Outcome.MISS]
    assert len(shard.entries) == 0


def test_reported_load_is_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="less than or equal to 1"):
        ReportLoad(who="x", model="m", load=1.1, valid_until_ms=1)
