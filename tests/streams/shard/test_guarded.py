"""A match by meaning is served only if the guards let it, no other answer is as near, and judged hits allow it."""

from __future__ import annotations

from typing import Any

import pytest

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.journal import HitJudged
from refrain.schemas.policy import Guard
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.shard.fold import fold
from refrain.streams.shard.state import Shard
from tests.streams.shard.journal import Journal, forward_id, near, new_shard, remembered
from tests.streams.shard.journal import vector as at

ON, OFF = "How do I turn on the alarm?", "How do I turn off the alarm?"
ON_AGAIN = "How can I turn on the alarm?"


def ready(journal: Journal, text: str = ON, **category: Any) -> Shard:
    """A shard with a policy and one answer."""
    shard = new_shard()
    fold(shard, journal.policy(**{"guards": tuple(Guard), **category}))
    remembered(journal, shard, text, at(1))
    return shard


def ask(journal: Journal, shard: Shard, text: str, vector: str | None = None, **fields: Any) -> Decision:
    """Ask; the decision."""
    return fold(shard, journal.ask(text, vector or near(0.97), **fields)).decisions[0]


def test_a_guard_makes_a_miss_of_an_opposite_and_says_by_how_many_words(journal: Journal) -> None:
    decision = ask(journal, ready(journal), OFF)
    assert (decision.outcome, decision.reason) == (Outcome.MISS, Reason.GUARD_REFUSED)
    assert [each.verdict for each in decision.candidates] == ["guard:negation"]
    last = decision.guards[-1]
    assert (last.guard, last.verdict, last.entry_id) == ("negation", "refused", decision.candidates[0].entry_id)
    assert (last.own_words, last.other_words) == (1, 1)


def test_a_rewording_passes_all_guards_and_the_decision_names_them(journal: Journal) -> None:
    decision = ask(journal, ready(journal), ON_AGAIN)
    assert (decision.outcome, decision.reason) == (Outcome.HIT, Reason.SIMILAR_TEXT)
    assert [each.verdict for each in decision.guards] == ["passed"] * len(Guard)


def test_only_the_guards_of_the_category_are_asked(journal: Journal) -> None:
    shard = ready(journal, guards=("numbers", "code"))
    decision = ask(journal, shard, OFF)
    assert decision.outcome is Outcome.HIT
    assert [each.guard for each in decision.guards] == ["numbers", "code"]


def test_the_next_candidate_is_served_when_a_guard_refuses_the_best(journal: Journal) -> None:
    shard = ready(journal, OFF)
    remembered(journal, shard, ON, at(1, 0.0, 0.2))
    decision = ask(journal, shard, ON_AGAIN, at(1, 0.0, 0.05))
    assert decision.outcome is Outcome.HIT
    assert [each.verdict for each in decision.candidates] == ["guard:negation", "served"]


def test_a_question_does_not_wait_for_the_answer_to_an_opposite(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy(guards=tuple(Guard)))
    first = fold(shard, journal.ask(ON, at(1)))
    other = fold(shard, journal.ask(OFF, near(0.97)))
    assert other.decisions[0].outcome is Outcome.MISS
    joined = fold(shard, journal.ask(ON_AGAIN, near(0.97)))
    assert (joined.decisions[0].outcome, joined.decisions[0].forward_id) == (Outcome.COALESCED, forward_id(first))
    assert {each.entry_id for each in joined.decisions[0].guards} >= {forward_id(first)}


@pytest.mark.parametrize(("unverified", "outcome"), [("miss", Outcome.MISS), ("hit", Outcome.HIT)])
def test_what_a_match_is_in_a_language_that_guards_do_not_read_is_the_policys(
    journal: Journal, unverified: str, outcome: Outcome
) -> None:
    shard = ready(journal, "Wie kehre ich eine Liste um, wenn sie sehr lang ist?", unverified=unverified)
    decision = ask(journal, shard, "Wie kann ich eine Liste umkehren, wenn sie sehr lang ist?")
    assert decision.outcome is outcome
    assert "not_applicable" in {each.verdict for each in decision.guards}


def test_two_answers_that_are_equally_near_are_ambiguous(journal: Journal) -> None:
    shard = ready(journal, margin=0.02)
    remembered(journal, shard, "How would I turn on the alarm?", at(1, 0.6))
    decision = ask(journal, shard, ON_AGAIN, at(1, 0.29))
    assert (decision.outcome, decision.reason) == (Outcome.MISS, Reason.AMBIGUOUS)
    assert [each.verdict for each in decision.candidates] == ["ambiguous", "ambiguous"]


def test_judged_hits_move_the_threshold_towards_its_ceiling_and_back(journal: Journal) -> None:
    shard = ready(journal, threshold=0.9, threshold_ceiling=0.98, error_budget=0.02)

    def judge(version: int, correct: bool) -> None:
        event = HitJudged(
            version=version, decision_id="d", correct=correct, who="w", category="code", entry_id="9-9-elsewhere"
        )
        fold(shard, journal.add(event))

    def threshold() -> float | None:
        return ask(journal, shard, "far", at(0, 1), mode=CacheMode.ONLY).threshold

    judge(1, False)
    judge(2, False)
    assert threshold() == 0.9
    for version in range(3, 9):
        judge(version, False)
    # Eight wrong ones beside a hundred right ones: a share of 0.074, of which the budget is 27 %.
    assert threshold() == pytest.approx(0.9584, abs=1e-4)
    for version in range(9, 300):
        judge(version, True)
    assert threshold() == 0.9


def test_the_same_text_needs_no_guard(journal: Journal) -> None:
    decision = ask(journal, ready(journal), ON, at(1))
    assert (decision.reason, decision.guards) == (Reason.EXACT_TEXT, ())
