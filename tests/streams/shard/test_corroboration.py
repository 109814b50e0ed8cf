"""`corroborate: 2`: an answer serves other words only once a second, independent question brought the same."""

from __future__ import annotations

from typing import Any

import pytest

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.policy import Guard
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.shard.fold import fold
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint
from tests.streams.shard.journal import JOURNAL_ID, Journal, fold_all, forward_id, new_shard, responses
from tests.streams.shard.journal import vector as at

FIRST, SECOND, THIRD = "how?", "how so?", "but how?"
PLACES = {FIRST: at(1), SECOND: at(1, 0.1), THIRD: at(1, 0.0, 0.1)}


def ready(journal: Journal, **category: Any) -> Shard:
    """A shard whose category asks for a second question."""
    shard = new_shard()
    fold(shard, journal.policy(**{"corroborate": 2, **category}))
    return shard


def brought(journal: Journal, shard: Shard, text: str, answer: str, **fields: Any) -> None:
    """Ask, and let the model answer."""
    asked = fold(shard, journal.ask(text, PLACES[text], **fields))
    fold(shard, journal.answer(forward_id(asked), answer))


def ask(journal: Journal, shard: Shard, text: str, **fields: Any) -> Decision:
    """Ask; the decision."""
    return fold(shard, journal.ask(text, PLACES[text], **fields)).decisions[0]


def test_until_then_the_answer_serves_the_same_text_alone(journal: Journal) -> None:
    shard = ready(journal)
    brought(journal, shard, FIRST, "so")
    same, other = ask(journal, shard, FIRST), ask(journal, shard, SECOND)
    assert (same.outcome, same.reason) == (Outcome.HIT, Reason.EXACT_TEXT)
    assert (other.outcome, other.reason) == (Outcome.MISS, Reason.UNCORROBORATED)
    assert [each.verdict for each in other.candidates] == ["uncorroborated"]


@pytest.mark.parametrize("second", ["so it is", "So it  is.", "so it is!\n"])
def test_a_second_question_whose_answer_agrees_makes_it_serve(journal: Journal, second: str) -> None:
    shard = ready(journal)
    brought(journal, shard, FIRST, "so it is")
    brought(journal, shard, SECOND, second)
    third = fold(shard, journal.ask(THIRD, PLACES[THIRD]))
    (decision,), (response,) = third.decisions, responses(third)
    assert (decision.outcome, decision.reason) == (Outcome.HIT, Reason.SIMILAR_TEXT)
    assert response.outcome is Outcome.HIT


@pytest.mark.parametrize("second", ["no", "so it is not", "so, it is", "-so it is"])
def test_an_answer_that_differs_makes_neither_serve(journal: Journal, second: str) -> None:
    shard = ready(journal)
    brought(journal, shard, FIRST, "so it is")
    brought(journal, shard, SECOND, second)
    decision = ask(journal, shard, THIRD)
    assert (decision.outcome, decision.reason) == (Outcome.MISS, Reason.UNCORROBORATED)
    assert [each.verdict for each in decision.candidates] == ["uncorroborated"] * 2


def test_the_two_that_agree_outvote_one_that_is_nearer(journal: Journal) -> None:
    shard = ready(journal)
    fold(shard, journal.policy(version=1))
    asked = [fold(shard, journal.ask(text, PLACES[text], mode=CacheMode.REFRESH)) for text in (FIRST, SECOND, THIRD)]
    for each, answer in zip(asked, ("so", "so", "poison"), strict=True):
        fold(shard, journal.answer(forward_id(each), answer))
    fold(shard, journal.policy(version=2, corroborate=2))
    folded = fold(shard, journal.ask("and how?", PLACES[THIRD]))
    assert folded.decisions[0].outcome is Outcome.HIT
    assert (responses(folded)[0].body or {})["choices"][0]["message"]["content"] == "so"


def test_the_same_text_asked_twice_is_no_second_question(journal: Journal) -> None:
    shard = ready(journal)
    brought(journal, shard, FIRST, "so")
    brought(journal, shard, FIRST, "so", mode=CacheMode.REFRESH)
    assert ask(journal, shard, SECOND).reason is Reason.UNCORROBORATED


@pytest.mark.parametrize(("other", "reason"), [("acme", Reason.UNCORROBORATED), ("umbrella", Reason.SIMILAR_TEXT)])
def test_where_tenants_share_answers_the_second_question_is_another_tenants(
    journal: Journal, other: str, reason: Reason
) -> None:
    shard = ready(journal, scope="shared")
    brought(journal, shard, FIRST, "so", space="*")
    brought(journal, shard, SECOND, "so", space="*", tenant=other)
    assert ask(journal, shard, THIRD, space="*", tenant="third").reason is reason


def test_a_question_that_the_guards_tell_apart_corroborates_nothing(journal: Journal) -> None:
    shard = ready(journal, guards=tuple(Guard))
    on, off, again = "How do I turn on the alarm?", "How do I turn off the alarm?", "How can I turn on the alarm?"
    for text, vector in ((on, at(1)), (off, at(1, 0.1))):
        fold(shard, journal.answer(forward_id(fold(shard, journal.ask(text, vector))), "so"))
    decision = fold(shard, journal.ask(again, at(1, 0.05))).decisions[0]
    assert decision.reason in (Reason.UNCORROBORATED, Reason.GUARD_REFUSED)
    assert {each.verdict for each in decision.candidates} == {"uncorroborated", "guard:negation"}


def test_no_question_waits_for_the_answer_to_other_words(journal: Journal) -> None:
    shard = ready(journal)
    fold(shard, journal.ask(FIRST, PLACES[FIRST]))
    assert ask(journal, shard, FIRST).outcome is Outcome.COALESCED
    assert ask(journal, shard, SECOND).outcome is Outcome.MISS


def test_an_answer_that_left_agrees_with_nothing(journal: Journal) -> None:
    shard = ready(journal, ttl_ms=60_000)
    brought(journal, shard, FIRST, "so")
    journal.time_ms += 50_000
    brought(journal, shard, SECOND, "so")
    assert ask(journal, shard, THIRD, mode=CacheMode.ONLY).outcome is Outcome.HIT
    journal.time_ms += 20_000
    assert ask(journal, shard, THIRD).outcome is Outcome.MISS


def test_a_restored_shard_and_a_fold_from_the_start_decide_the_same(journal: Journal) -> None:
    shard = ready(journal)
    brought(journal, shard, FIRST, "so")
    brought(journal, shard, SECOND, "so")
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    restored = load_shard(0, 32, JOURNAL_ID, shard.store)
    restored.next_offset, restored.time_ms = shard.next_offset, shard.time_ms
    before = list(journal.records)
    asked = journal.ask(THIRD, PLACES[THIRD])
    decisions = [fold(each, asked).decisions for each in (shard, restored)]
    again = new_shard()
    fold_all(again, before)
    decisions.append(fold(again, asked).decisions)
    assert decisions[0] == decisions[1] == decisions[2]
    assert decisions[0][0].outcome is Outcome.HIT


def test_without_it_one_question_is_enough(journal: Journal) -> None:
    shard = ready(journal, corroborate=1)
    brought(journal, shard, FIRST, "so")
    assert ask(journal, shard, SECOND).reason is Reason.SIMILAR_TEXT
