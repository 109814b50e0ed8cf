"""What a requester and a reader of decisions are told of the question that theirs was compared with: nothing of it.

Requesters get the words of their own question and similarities of two digits; decisions count words.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import AnswerFailed
from refrain.schemas.policy import Guard
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import DecisionSummary, Outcome, Problem
from refrain.streams import guards
from refrain.streams.guards import GuardTerms
from refrain.streams.messaging.routes import decode_route
from refrain.streams.shard.fold import fold
from refrain.streams.shard.guard_words import GuardFinding, is_own
from refrain.streams.shard.outcome import FoldResult, summary
from refrain.streams.shard.state import Shard
from tests.streams.guards.texts import TEXTS
from tests.streams.shard.journal import Journal, effects, forward_id, near, new_shard, remembered, responses, vector

KEPT = "What did Kowalski pay on account 184,500 at Zurich before 2019?"
ASKED = "What did Miller pay on account 222,777 at Geneva before 2021?"
SECRETS = ("Kowalski", "184,500", "184", "Zurich", "2019")


def meeting(asked: str, kept: str = KEPT, *, near_by: float = 0.93, mode: str = "use", **category: Any) -> FoldResult:
    """What is folded of a question beside a kept one."""
    journal, shard = Journal(), new_shard()
    fold(shard, journal.policy(**{"guards": tuple(Guard), **category}))
    remembered(journal, shard, kept, vector(1))
    return fold(shard, journal.ask(asked, near(near_by), mode=CacheMode(mode)))


def told(folded: FoldResult) -> DecisionSummary:
    """What the requester is told, at once or by the route of what is forwarded."""
    for response in responses(folded):
        assert response.decision is not None
        return response.decision
    (forward,) = [Forward.decode(each.value or b"") for each in effects(folded, "forwards")]
    decision = decode_route(forward.route, forward.forward_id).decision
    assert decision is not None
    return decision


@pytest.mark.parametrize("mode", ["use", "observe", "only"])
@pytest.mark.parametrize("scope", ["tenant", "shared"])
def test_no_word_of_another_question_is_in_decision_response_or_forward(mode: str, scope: str) -> None:
    folded = meeting(ASKED, mode=mode, scope=scope)
    assert {Guard.NUMBERS, Guard.NAMES} <= {each.guard for each in folded.decisions[0].guards if each.other_words}
    written = [folded.decisions[0].encode(), told(folded).model_dump_json().encode()]
    assert not [word for word in SECRETS for each in written if word.encode() in each]


def test_the_requester_is_told_the_words_of_its_own_question() -> None:
    last = told(meeting(ASKED, veto=(Guard.NUMBERS,))).guards[-1]
    assert (last.guard, last.verdict) == ("numbers", "refused")
    assert set(last.words) == {"222,777", "2021"}
    assert last.other_words == 2


def test_decisions_hold_not_even_the_askers_words() -> None:
    written = meeting(ASKED).decisions[0].encode().decode()
    assert "222,777" not in written
    assert "2021" not in written


@pytest.mark.parametrize(
    ("word", "asked", "own"),
    [
        ("tea", "Is tea good?", True),
        ("tea", "Is a team good?", False),
        ("1", "Is it 1.5 or more?", False),
        ("1", "Is it 1, or more?", True),
        ("not", "Why's it not?", True),
        ("a", "What's O'a?", False),
        ("x = 1", "Why is x = 1 here?", True),
        ("milk", "Is tea good?", False),
    ],
)
def test_a_word_is_the_askers_own_where_it_stands_whole_in_its_text(word: str, asked: str, own: bool) -> None:
    assert is_own(word, asked, f"{word} is what the other says") is own


@given(TEXTS, TEXTS)
def test_of_any_two_texts_only_words_of_the_asked_one_are_told(asked: str, kept: str) -> None:
    found = guards.weigh(GuardTerms(unverified="hit"), guards.read(asked), guards.read(kept))
    for verdict in found.verdicts:
        finding = GuardFinding.of("e", verdict, asked, kept)
        assert all(word in asked for word in finding.own)
        counted = finding.counted()
        assert counted.own_words + counted.other_words == len(verdict.words)


@given(st.integers(500_000, 1_000_000), st.integers(500_000, 1_000_000))
def test_a_similarity_of_two_digits_stands_on_its_side_of_the_threshold(near_micros: int, least_micros: int) -> None:
    similarity, threshold = near_micros / 1_000_000, least_micros / 1_000_000
    shown = _summary_of(similarity, threshold).similarity
    assert shown is not None
    assert shown == round(shown, 2)
    assert abs(shown - similarity) < 0.01
    assert (shown >= threshold) is (similarity >= threshold)


@pytest.mark.parametrize("mode", ["use", "observe", "only"])
@pytest.mark.parametrize("near_by", [0.71234, 0.93456, 0.99123])
def test_a_requester_is_told_two_digits_whether_it_is_served_or_not(mode: str, near_by: float) -> None:
    folded = meeting("How do I pay?", "How do I pay the bill?", near_by=near_by, mode=mode, guards=())
    exact, shown = folded.decisions[0].similarity, told(folded).similarity
    assert exact == pytest.approx(near_by, abs=1e-4)
    assert exact != shown == pytest.approx(exact, abs=0.01)
    assert shown == round(shown or 0, 2)


def test_a_joined_question_is_told_two_digits_of_the_one_on_its_way() -> None:
    journal, shard = Journal(), new_shard()
    fold(shard, journal.policy(guards=tuple(Guard)))
    first = fold(shard, journal.ask("How do I turn on the alarm?", vector(1)))
    joined = fold(shard, journal.ask("How can I turn on the alarm?", near(0.97123)))
    assert joined.decisions[0].outcome is Outcome.COALESCED
    (_, other) = responses(fold(shard, journal.answer(forward_id(first))))
    assert other.decision is not None
    assert (other.decision.similarity, other.decision.score) == (0.98, 0.98)
    assert joined.decisions[0].similarity == pytest.approx(0.97123, abs=1e-4)


def test_what_a_connector_says_of_a_question_is_told_to_those_alone_who_asked_it() -> None:
    journal, shard = Journal(), new_shard()
    fold(shard, journal.policy(guards=tuple(Guard)))
    first = fold(shard, journal.ask("How do I turn on the alarm?", vector(1)))
    fold(shard, journal.ask("How can I turn on the alarm?", near(0.97)))
    fold(shard, journal.ask("How do I turn on the alarm?", vector(1)))
    problem = Problem(code="bad_prompt", message="cannot take «How do I turn on the alarm?»")
    failed = responses(fold(shard, journal.add(AnswerFailed(forward_id=forward_id(first), error=problem))))
    told_of = {each.request_id: each.error.code for each in failed if each.error is not None}
    assert told_of == {"r0": "bad_prompt", "r1": "upstream_failed", "r2": "bad_prompt"}
    assert ["«" in each.error.message for each in failed if each.error is not None] == [True, False, True]


def test_a_category_may_show_similarities_as_they_are() -> None:
    folded = meeting(ASKED, near_by=0.93456, show_similarity=True)
    assert told(folded).similarity == folded.decisions[0].similarity == pytest.approx(0.93456, abs=1e-4)


def test_the_parts_of_a_strangers_context_are_not_named() -> None:
    decision = _in_another_context(keeper="globex")
    assert (decision.reason, decision.differs) == (Reason.CONTEXT_DIFFERS, ("other", "seed"))


def test_the_parts_of_the_tenants_own_contexts_are_named() -> None:
    decision = _in_another_context(keeper="acme")
    assert (decision.reason, decision.differs) == (Reason.CONTEXT_DIFFERS, ("project-hush", "seed"))


def _in_another_context(keeper: str) -> Decision:
    """The decision on acme's text that is kept in another context, of a category that all share."""
    journal, shard = Journal(), new_shard()
    fold(shard, journal.policy(scope="shared"))
    _keep(journal, shard, keeper, fields={"seed": "1", "project-hush": "2"}, context="01")
    fields = {"seed": "3"}
    return fold(shard, journal.ask("q", vector(1), space="*", fields=fields, context="02")).decisions[0]


def _keep(journal: Journal, shard: Shard, tenant: str, **fields: Any) -> None:
    asked = fold(shard, journal.ask("q", vector(1), tenant=tenant, space="*", **fields))
    fold(shard, journal.answer(forward_id(asked)))


def _summary_of(similarity: float, threshold: float) -> DecisionSummary:
    return summary(
        Decision(
            id="d", partition=0, offset=0, time_ms=0, tenant="t", category="c", model="m", outcome=Outcome.MISS,
            reason=Reason.BELOW_THRESHOLD, similarity=similarity, threshold=threshold,
        )
    )  # fmt: skip
