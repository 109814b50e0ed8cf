"""What is withdrawn is not served from its record on, leaves in bounded batches, and does not come back by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.base import Near, Sealed, Source
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.documents import Entry
from refrain.schemas.journal import Answered, AnswerWithheld, EntriesInvalidated, HitJudged, PolicySet
from refrain.schemas.observations import Observation
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.responses import Outcome
from refrain.streams.shard.fold import fold, next_timer_ms
from refrain.streams.shard.handlers.invalidated import SWEPT_MAX
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint
from refrain.streams.vectors import encode, quantise
from tests.streams.shard.journal import (
    DIM,
    JOURNAL_ID,
    Journal,
    effects,
    fold_all,
    forward_id,
    near,
    new_shard,
    policy,
    ready,
    remembered,
    responses,
    vector,
)


def invalidate(journal: Journal, shard: Shard, version: int = 1, **what: Any) -> FoldResult:
    """Fold an invalidation."""
    return fold(shard, journal.add(EntriesInvalidated(version=version, **what)))


def ask(journal: Journal, shard: Shard, text: str, at: str | None = None, **fields: Any) -> Decision:
    """Ask; the decision."""
    return fold(shard, journal.ask(text, at or vector(1), **fields)).decisions[0]


def swept(journal: Journal, shard: Shard) -> list[FoldResult]:
    """Ticks until there is nothing more to sweep."""
    folded = []
    while next_timer_ms(shard) == 0:
        folded.append(fold(shard, journal.tick()))
    return folded


def apart(number: int) -> str:
    """A vector that is near to no other of these."""
    return vector(*np.random.default_rng(number).normal(size=DIM))


def reopened(shard: Shard) -> Shard:
    """The shard after a restart."""
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    return load_shard(shard.partition, shard.shards, JOURNAL_ID, shard.store)


SELECTORS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"tag": "release-1"}, {"tags": ("release-1", "x")}),
    ({"source_id": "doc-7"}, {"sources": (Source(id="doc-7", version="3"),)}),
    ({"source_id": "doc-7", "keep_version": "4"}, {"sources": (Source(id="doc-7", version="3"),)}),
    ({"tenant": "acme"}, {}),
    ({"category": "code"}, {}),
    ({"model": "m"}, {}),
    ({"near": Near(embedder="test", vector=near(0.95), similarity=0.94)}, {}),
    ({"tenant": "acme", "category": "code", "model": "m"}, {}),
    ({}, {}),
]


@pytest.mark.parametrize(("what", "fields"), SELECTORS)
def test_a_matching_entry_is_not_served_from_the_record_on_and_leaves_with_the_ticks(
    journal: Journal, what: dict[str, Any], fields: dict[str, Any]
) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1), **fields)
    invalidate(journal, shard, **what)
    decision = ask(journal, shard, "how?", **fields)
    assert (decision.outcome, decision.reason) == (Outcome.MISS, Reason.WITHDRAWN)
    assert [each.verdict for each in decision.candidates] == ["withdrawn"]
    swept(journal, shard)
    assert len(shard.entries) == 0


OTHERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"tag": "release-2"}, {"tags": ("release-1",)}),
    ({"source_id": "doc-8"}, {"sources": (Source(id="doc-7", version="3"),)}),
    ({"source_id": "doc-7", "keep_version": "3"}, {"sources": (Source(id="doc-7", version="3"),)}),
    ({"tenant": "other"}, {}),
    ({"category": "docs"}, {}),
    ({"model": "m2"}, {}),
    ({"near": Near(embedder="test", vector=near(0.9), similarity=0.95)}, {}),
    ({"near": Near(embedder="another", vector=near(0.95), similarity=0.9)}, {}),
    ({"tenant": "acme", "category": "docs"}, {}),
    ({"older_than_ms": 60_000}, {}),
    ({"before_ms": 1}, {}),
    ({"entry_id": "0-1-otherjou"}, {}),
    ({"entry_id": "nonsense"}, {}),
]


@pytest.mark.parametrize(("what", "fields"), OTHERS)
def test_what_does_not_match_stays(journal: Journal, what: dict[str, Any], fields: dict[str, Any]) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1), **fields)
    invalidate(journal, shard, **what)
    swept(journal, shard)
    assert ask(journal, shard, "how?", **fields).outcome is Outcome.HIT
    assert shard.withdrawals == {}


def test_one_entry_is_withdrawn_by_the_id_that_its_decision_named(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1))
    remembered(journal, shard, "why?", vector(0, 1))
    invalidate(journal, shard, entry_id=ask(journal, shard, "how?").entry_id)
    assert ask(journal, shard, "how?").outcome is Outcome.MISS
    assert ask(journal, shard, "why?", vector(0, 1)).outcome is Outcome.HIT


def test_what_is_admitted_after_the_command_stays(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1))
    invalidate(journal, shard, category="code")
    remembered(journal, shard, "how?", vector(1))
    swept(journal, shard)
    assert ask(journal, shard, "how?").outcome is Outcome.HIT


def test_older_entries_go_by_age_and_younger_ones_stay(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "old", vector(1))
    remembered(journal, shard, "young", vector(0, 1), after_ms=10_000)
    invalidate(journal, shard, older_than_ms=5_000)
    swept(journal, shard)
    assert ask(journal, shard, "old").outcome is Outcome.MISS
    assert ask(journal, shard, "young", vector(0, 1)).outcome is Outcome.HIT


def test_an_answer_that_was_on_its_way_is_delivered_and_neither_joined_nor_kept(journal: Journal) -> None:
    shard = ready(journal)
    first = fold(shard, journal.ask("how?", vector(1)))
    invalidate(journal, shard, category="code")
    second = fold(shard, journal.ask("how?", vector(1)))
    assert second.decisions[0].outcome is Outcome.MISS
    late = fold(shard, journal.answer(forward_id(first), "of before"))
    assert [response.outcome for response in responses(late)] == [Outcome.MISS]
    assert ("not_admitted", "withdrawn") in late.counts
    fold(shard, journal.answer(forward_id(second), "of now"))
    (response,) = responses(fold(shard, journal.ask("how?", vector(1))))
    assert response.outcome is Outcome.HIT
    assert response.body is not None
    assert response.body["choices"][0]["message"]["content"] == "of now"
    swept(journal, shard)
    assert shard.withdrawals == {}


def test_a_withdrawal_survives_a_restart_in_the_middle(journal: Journal) -> None:
    shard = ready(journal)
    for number in range(SWEPT_MAX + 5):
        remembered(journal, shard, f"q{number}", apart(number))
    invalidate(journal, shard, category="code")
    fold(shard, journal.tick())
    assert len(shard.entries) == 5
    shard = reopened(shard)
    assert all(ask(journal, shard, f"q{n}", apart(n)).outcome is Outcome.MISS for n in range(SWEPT_MAX + 5))
    swept(journal, shard)
    assert len(shard.entries) == 0


def test_a_tick_looks_at_a_bounded_number_of_entries(journal: Journal) -> None:
    shard = ready(journal)
    for number in range(3 * SWEPT_MAX):
        remembered(journal, shard, f"q{number}", None)
    invalidate(journal, shard, tenant="acme")
    sizes = []
    while len(shard.entries):
        fold(shard, journal.tick())
        sizes.append(len(shard.entries))
    assert sizes == [2 * SWEPT_MAX, SWEPT_MAX, 0]


def judged(decision: Decision, *, correct: bool, version: int = 1) -> HitJudged:
    """The judgement of a decision, as govern writes it."""
    return HitJudged(
        version=version,
        decision_id=decision.id,
        correct=correct,
        who="w",
        category=decision.category,
        namespace=decision.namespace,
        entry_id=decision.entry_id if decision.outcome is Outcome.HIT else None,
        answer=decision.answer,
        forward_id=decision.forward_id if decision.outcome is not Outcome.HIT else None,
        load=decision.load,
    )


def test_a_hit_judged_wrong_is_withdrawn_and_its_answer_never_kept_again(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1))
    hit = ask(journal, shard, "how so?", near(0.95))
    assert hit.outcome is Outcome.HIT
    assert ("evicted", "code", "judged") in fold(shard, journal.add(judged(hit, correct=False))).counts
    for again in (shard, reopened(shard)):
        asked = fold(again, journal.ask("how?", vector(1)))
        assert asked.decisions[0].outcome is Outcome.MISS
        kept = fold(again, journal.answer(forward_id(asked), "the answer to how?"))
        assert kept.counts == [("not_admitted", "judged_wrong")]
    asked = fold(again, journal.ask("how?", vector(1)))
    fold(again, journal.answer(forward_id(asked), "a better one"))
    assert ask(journal, again, "how?").outcome is Outcome.HIT


def test_a_miss_judged_wrong_takes_the_answer_that_it_brought(journal: Journal) -> None:
    shard = ready(journal)
    asked = fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.answer(forward_id(asked), "wrong"))
    fold(shard, journal.add(judged(asked.decisions[0], correct=False)))
    assert ask(journal, shard, "how?").outcome is Outcome.MISS
    swept(journal, shard)
    assert len(shard.entries) == 0
    asked = fold(shard, journal.ask("and how?", vector(0, 1)))
    assert fold(shard, journal.answer(forward_id(asked), "wrong")).counts == [("not_admitted", "judged_wrong")]


def test_a_miss_judged_wrong_does_not_come_back_with_the_same_answer_before_any_tick(journal: Journal) -> None:
    shard = ready(journal)
    asked = fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.answer(forward_id(asked), "wrong"))
    fold(shard, journal.add(judged(asked.decisions[0], correct=False)))
    for text, at in (("how?", vector(1)), ("and how?", vector(0, 1))):
        again = fold(shard, journal.ask(text, at))
        assert again.decisions[0].outcome is Outcome.MISS
        assert fold(shard, journal.answer(forward_id(again), "wrong")).counts == [("not_admitted", "judged_wrong")]
    assert len(shard.entries) == 0


def test_a_miss_judged_wrong_is_found_after_a_restart(journal: Journal) -> None:
    shard = ready(journal)
    asked = fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.answer(forward_id(asked), "wrong"))
    shard = reopened(shard)
    fold(shard, journal.add(judged(asked.decisions[0], correct=False)))
    assert len(shard.entries) == 0
    assert shard.withdrawals == {}


def test_a_miss_judged_before_its_answer_came_is_delivered_and_not_kept(journal: Journal) -> None:
    shard = ready(journal)
    asked = fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.add(judged(asked.decisions[0], correct=False)))
    assert next_timer_ms(shard) != 0
    landed = fold(shard, journal.answer(forward_id(asked), "wrong"))
    assert len(responses(landed)) == 1
    assert ("not_admitted", "withdrawn") in landed.counts
    assert shard.withdrawals == {}


def undigested(shard: Shard) -> Shard:
    """The shard restored from entries of a version that kept no digest of answers."""
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    old = {
        key: Entry.decode(value).model_copy(update={"answer_digest": ""}).encode()
        for key, value in shard.store.scan(b"entries/")
    }
    shard.store.write(dict(old), Checkpoint(2, 2))
    return load_shard(shard.partition, shard.shards, JOURNAL_ID, shard.store)


def test_an_entry_kept_without_its_digest_is_judged_like_any_other(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1))
    remembered(journal, shard, "why?", vector(0, 1))
    shard = undigested(shard)
    hit = ask(journal, shard, "how?")
    fold(shard, journal.add(judged(hit, correct=False)))
    again = fold(shard, journal.ask("how?", vector(1)))
    assert again.decisions[0].outcome is Outcome.MISS
    kept = fold(shard, journal.answer(forward_id(again), "the answer to how?"))
    assert kept.counts == [("not_admitted", "judged_wrong")]
    assert ask(journal, shard, "why?", vector(0, 1)).outcome is Outcome.HIT


def test_a_decision_that_names_no_answer_is_judged_by_its_entry(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1))
    old = judged(ask(journal, shard, "how?"), correct=False).model_copy(update={"answer": None, "namespace": None})
    fold(shard, journal.add(old))
    again = fold(shard, journal.ask("how?", vector(1)))
    kept = fold(shard, journal.answer(forward_id(again), "the answer to how?"))
    assert kept.counts == [("not_admitted", "judged_wrong")]


def test_nothing_is_observed_of_a_category_that_may_not_be_kept_any_more(journal: Journal) -> None:
    shard = ready(journal, cache=Cacheable.OBSERVE)
    remembered(journal, shard, "how?", vector(1))
    asked = fold(shard, journal.ask("how so?", near(0.95)))
    assert asked.decisions[0].reason is Reason.OBSERVED
    fold(shard, journal.policy(1, cache=Cacheable.NEVER))
    landed = fold(shard, journal.answer(forward_id(asked), "what nobody may keep"))
    assert [effect.topic for effect in landed.effects] == ["responses"]


def test_an_observation_has_nothing_of_a_withdrawn_answer(journal: Journal) -> None:
    shard = ready(journal, cache=Cacheable.OBSERVE)
    remembered(journal, shard, "how?", vector(1), tags=("t",))
    asked = fold(shard, journal.ask("how so?", near(0.95)))
    invalidate(journal, shard, tag="t")
    landed = fold(shard, journal.answer(forward_id(asked), "another"))
    (effect,) = effects(landed, "observations")
    assert Observation.decode(effect.value or b"").cached is None


@pytest.mark.parametrize("cache", [Cacheable.ALLOW, Cacheable.NEVER])
def test_what_cannot_be_folded_is_a_dead_letter_without_the_text_of_a_never_category(
    journal: Journal, cache: Cacheable
) -> None:
    shard = ready(journal)
    asked = fold(shard, journal.ask("how?", vector(1)))
    fold(shard, journal.policy(1, cache=cache))
    broken = [
        fold(shard, journal.add(Answered(forward_id=forward_id(asked), body=Sealed(data="[1]")))),
        fold(shard, journal.ask("how?", vector(1), body=Sealed(data="no JSON"))),
    ]
    assert [letter.value is None for letter in effects(broken, "dead-letters")] == [cache is Cacheable.NEVER] * 2


def test_a_hit_judged_right_stays(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1))
    fold(shard, journal.add(judged(ask(journal, shard, "how?"), correct=True)))
    assert ask(journal, shard, "how?").outcome is Outcome.HIT


def test_a_category_that_may_not_be_kept_any_more_is_withdrawn_for_good(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1))
    flying = fold(shard, journal.ask("when?", vector(0, 1)))
    fold(shard, journal.policy(1, cache=Cacheable.NEVER))
    assert ask(journal, shard, "how?").reason is Reason.CATEGORY_NEVER
    fold(shard, journal.policy(2))
    assert ask(journal, shard, "how?").outcome is Outcome.MISS
    late = fold(shard, journal.answer(forward_id(flying), "of before"))
    assert ("not_admitted", "withdrawn") in late.counts
    swept(journal, shard)
    assert len(shard.entries) == 0


def test_a_category_that_the_policy_drops_is_withdrawn(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1))
    fold(shard, journal.add(PolicySet(version=1, policy=Policy(categories={"docs": CategoryPolicy()}))))
    swept(journal, shard)
    assert len(shard.entries) == 0


def test_a_withheld_answer_ends_the_wait_and_leaves_nothing(journal: Journal) -> None:
    shard = ready(journal)
    first = fold(shard, journal.ask("how?", vector(1)))
    assert ask(journal, shard, "how?").outcome is Outcome.COALESCED
    fold(shard, journal.policy(1, cache=Cacheable.NEVER))
    ended = fold(shard, journal.add(AnswerWithheld(forward_id=forward_id(first))))
    (told,) = responses(ended)
    assert (told.outcome, told.request_id) == (Outcome.ERROR, "r1")
    assert told.error is not None
    assert told.error.code == "answer_withheld"
    assert (len(shard.flights), shard.flights.waiting, len(shard.entries)) == (0, 0, 0)


@given(st.lists(st.tuples(st.sampled_from(["ask", "invalidate", "tick", "restart"]), st.integers(0, 5)), max_size=40))
def test_nothing_withdrawn_is_ever_served(steps: list[tuple[str, int]]) -> None:
    """A naive book of what was withdrawn, beside the shard."""
    journal = Journal()
    shard = ready(journal)
    good: dict[int, str] = {}
    for number, (step, of) in enumerate(steps):
        if step == "invalidate":
            invalidate(journal, shard, version=number + 1, tag=f"t{of}")
            good.pop(of, None)
        elif step == "tick":
            fold(shard, journal.tick())
        elif step == "restart":
            shard = reopened(shard)
        else:
            asked = fold(shard, journal.ask(f"q{of}", vector(*[0.0] * of, 1.0), tags=(f"t{of}",)))
            if asked.decisions[0].outcome is Outcome.HIT:
                (response,) = responses(asked)
                assert response.body is not None
                assert response.body["choices"][0]["message"]["content"] == good[of]
            else:
                assert of not in good
                good[of] = f"a{number}"
                fold(shard, journal.answer(forward_id(asked), good[of]))
    swept(journal, shard)
    assert len(shard.entries) == len(good)


def test_two_shards_that_fold_the_same_withdrawals_are_the_same(journal: Journal) -> None:
    shard = ready(journal, limits={"hnsw_from": 16})
    for number in range(40):
        remembered(journal, shard, f"q{number}", apart(number), tags=(f"t{number % 3}",))
    invalidate(journal, shard, tag="t1")
    swept(journal, shard)
    again = new_shard()
    fold_all(again, journal.records)
    assert again.begin_commit() == shard.begin_commit()


def test_a_namespace_that_lost_its_last_vector_is_searched_alike_after_a_restart(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "too long for a vector", None)
    remembered(journal, shard, "how?", vector(1), tags=("t",))
    invalidate(journal, shard, tag="t")
    swept(journal, shard)
    again = reopened(shard)
    asked = journal.ask("how?", vector(1))
    assert fold(shard, asked).decisions == fold(again, asked).decisions
    other = journal.ask("how?", encode(quantise(np.ones(DIM + 1))))
    assert fold(shard, other).decisions == fold(again, other).decisions


def test_policies_without_change_withdraw_nothing(journal: Journal) -> None:
    shard = ready(journal)
    remembered(journal, shard, "how?", vector(1))
    fold(shard, journal.policy(1))
    assert shard.withdrawals == {}
    assert policy().of("code") is not None
