"""A match by meaning of a strict category is served only when a second opinion says so, and it fails closed."""

from __future__ import annotations

from typing import Any

import pytest

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.documents import Doubt, Opinion
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.journal import EntriesInvalidated, Verified
from refrain.schemas.policy import Guard
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.shard.columns import DOUBTS, ENTRIES, OPINIONS, Column, M
from refrain.streams.shard.fold import fold, next_timer_ms
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint
from tests.streams.shard.journal import (
    JOURNAL_ID,
    Journal,
    effects,
    fold_all,
    forward_id,
    near,
    new_shard,
    remembered,
    responses,
)
from tests.streams.shard.journal import vector as at

ON = "How do I turn on the alarm?"
AGAIN = "How can I turn on the alarm?"
BELL = "How do I turn on the alarm bell?"
ANSWER = f"the answer to {ON}"
TIMEOUT_MS = 500


@pytest.fixture
def shard(journal: Journal) -> Shard:
    """A shard with a strict policy and one answer."""
    return ready(journal)


def ready(journal: Journal, *others: tuple[str, str], **category: Any) -> Shard:
    shard = new_shard()
    strict = {"verify": 0.5, "limits": {"verify_timeout_ms": TIMEOUT_MS}, **category}
    fold(shard, journal.policy(**strict))
    for text, vector in ((ON, at(1)), *others):
        remembered(journal, shard, text, vector, mode=CacheMode.REFRESH)
    return shard


def ask(journal: Journal, shard: Shard, text: str = AGAIN, vector: str | None = None, **fields: Any) -> FoldResult:
    return fold(shard, journal.ask(text, vector or near(0.97), **fields))


def raised(folded: FoldResult) -> DoubtRaised:
    """The one doubt among the effects, and nothing else."""
    assert [effect.topic for effect in folded.effects] == ["doubts"]
    assert folded.decisions == []
    doubt = DoubtRaised.decode(folded.effects[0].value or b"")
    assert folded.effects[0].key == doubt.id.encode()
    return doubt


def say(journal: Journal, shard: Shard, doubt: DoubtRaised, score: float | None, after_ms: int = 1) -> FoldResult:
    """The verifier answers."""
    opinion = Verified(id=doubt.id, entry=doubt.entry, score=score, verifier="words/1")
    return fold(shard, journal.add(opinion, after_ms))


def only(folded: FoldResult) -> Decision:
    (decision,) = folded.decisions
    return decision


def doubts(shard: Shard) -> list[Doubt]:
    return _column(shard, DOUBTS)


def opinions(shard: Shard) -> list[Opinion]:
    return _column(shard, OPINIONS)


def _column(shard: Shard, column: Column[M]) -> list[M]:
    """The records of one column, as a store holds them that has taken all changes."""
    rows: dict[bytes, bytes | None] = dict(shard.store.scan(column.key("")))
    rows |= {key: value for key, value in shard.overlay.uncommitted.items() if key.startswith(column.key(""))}
    return [column.message.decode(value) for value in rows.values() if value is not None]


def born_again(shard: Shard) -> Shard:
    """The shard as another worker restores it after a commit."""
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    return load_shard(shard.partition, shard.shards, JOURNAL_ID, shard.store)


def test_a_match_by_meaning_raises_a_doubt_and_waits(journal: Journal, shard: Shard) -> None:
    asked = ask(journal, shard)
    doubt = raised(asked)
    assert (doubt.partition, doubt.incarnation, doubt.category) == (0, JOURNAL_ID, "code")
    assert (doubt.question.data, doubt.cached.data) == (AGAIN, ON)
    assert doubt.deadline_at_ms == journal.time_ms + TIMEOUT_MS
    (waits,) = doubts(shard)
    assert (waits.entry, waits.due_at_ms, waits.rounds) == (doubt.entry, doubt.deadline_at_ms, 1)
    assert next_timer_ms(shard) == doubt.deadline_at_ms


@pytest.mark.parametrize("score", [0.5, 0.93, 1.0])
def test_an_opinion_that_is_high_enough_makes_a_hit(journal: Journal, shard: Shard, score: float) -> None:
    doubt = raised(ask(journal, shard))
    said = say(journal, shard, doubt, score)
    decision = only(said)
    assert (decision.id, decision.outcome, decision.reason) == (doubt.id, Outcome.HIT, Reason.SIMILAR_TEXT)
    assert (decision.verifier, decision.verifier_score) == ("words/1", score)
    (response,) = responses(said)
    assert response.body is not None
    assert response.body["choices"][0]["message"]["content"] == ANSWER
    assert effects(said, "forwards") == []
    assert doubts(shard) == []


@pytest.mark.parametrize("score", [0.499999, 0.0, None])
def test_an_opinion_that_is_too_low_or_none_makes_a_miss(journal: Journal, shard: Shard, score: float | None) -> None:
    said = say(journal, shard, raised(ask(journal, shard)), score)
    decision = only(said)
    assert (decision.outcome, decision.reason) == (Outcome.MISS, Reason.VERIFIER_REFUSED)
    assert [each.verdict for each in decision.candidates] == ["verifier"]
    assert forward_id(said) == decision.id
    assert doubts(shard) == []
    fold(shard, journal.answer(decision.id))
    assert ask(journal, shard, vector=near(0.97)).decisions[0].reason is Reason.EXACT_TEXT


@pytest.mark.parametrize(("score", "outcome"), [(0.9, Outcome.HIT), (0.1, Outcome.MISS), (None, Outcome.MISS)])
def test_an_opinion_is_remembered_for_the_pair(
    journal: Journal, shard: Shard, score: float | None, outcome: Outcome
) -> None:
    say(journal, shard, raised(ask(journal, shard)), score)
    assert opinions(shard) == [Opinion(score=score, verifier="words/1")]
    again = ask(journal, shard, mode=CacheMode.OBSERVE)
    assert effects(again, "doubts") == []
    expected = Reason.OBSERVED if outcome is Outcome.HIT else Reason.VERIFIER_REFUSED
    assert only(again).reason is expected
    assert raised(ask(journal, shard, "How might I turn on the alarm?")).cached.data == ON, "another text: another pair"


def test_a_remembered_opinion_is_held_against_the_policy_of_now(journal: Journal, shard: Shard) -> None:
    say(journal, shard, raised(ask(journal, shard)), 0.7)
    fold(shard, journal.policy(version=1, verify=0.8, limits={"verify_timeout_ms": TIMEOUT_MS}))
    assert only(ask(journal, shard, seen_version=1)).reason is Reason.VERIFIER_REFUSED
    fold(shard, journal.policy(version=2, verify=0.6, limits={"verify_timeout_ms": TIMEOUT_MS}))
    assert only(ask(journal, shard, seen_version=2, mode=CacheMode.ONLY)).outcome is Outcome.HIT


def test_after_a_refusal_the_next_candidate_is_looked_at(journal: Journal) -> None:
    shard = ready(journal, (BELL, at(1, 0.5)), threshold=0.8)
    first = raised(ask(journal, shard, vector=near(0.99)))
    assert first.cached.data == ON
    second = raised(say(journal, shard, first, 0.2))
    assert (second.id, second.cached.data) == (first.id, BELL)
    assert [each.rounds for each in doubts(shard)] == [2]
    decision = only(say(journal, shard, second, 0.8))
    assert (decision.outcome, decision.verifier_score) == (Outcome.HIT, 0.8)
    assert [each.verdict for each in decision.candidates] == ["verifier", "served"]


def test_no_more_than_two_opinions_are_waited_for(journal: Journal) -> None:
    shard = ready(journal, (BELL, at(1, 0.5)), ("How do I turn on the fire alarm?", at(1, 0.6)), threshold=0.8)
    second = raised(say(journal, shard, raised(ask(journal, shard, vector=near(0.99))), 0.2))
    said = say(journal, shard, second, 0.2)
    assert (only(said).outcome, only(said).reason) == (Outcome.MISS, Reason.VERIFIER_REFUSED)
    assert forward_id(said) == second.id


def test_a_verifier_that_is_silent_makes_a_miss_when_its_time_is_over(journal: Journal, shard: Shard) -> None:
    doubt = raised(ask(journal, shard))
    assert fold(shard, journal.tick(TIMEOUT_MS - 1)).effects == []
    ticked = fold(shard, journal.tick(1))
    decision = only(ticked)
    assert (decision.id, decision.outcome, decision.reason) == (doubt.id, Outcome.MISS, Reason.VERIFIER_SILENT)
    assert forward_id(ticked) == doubt.id
    assert doubts(shard) == []
    assert opinions(shard) == []


def test_silence_in_the_second_round_makes_a_miss_too(journal: Journal) -> None:
    shard = ready(journal, (BELL, at(1, 0.5)), threshold=0.8)
    second = raised(say(journal, shard, raised(ask(journal, shard, vector=near(0.99))), 0.2))
    ticked = fold(shard, journal.tick(TIMEOUT_MS))
    assert forward_id(ticked) == second.id
    assert only(ticked).outcome is Outcome.MISS


def test_every_record_fires_what_is_due_not_ticks_alone(journal: Journal, shard: Shard) -> None:
    doubt = raised(ask(journal, shard))
    other = ask(journal, shard, "Something else entirely?", at(0, 1), after_ms=TIMEOUT_MS)
    assert other.decisions[0].id == doubt.id
    assert len(effects(other, "forwards")) == 2


def test_a_late_opinion_changes_nothing(journal: Journal, shard: Shard) -> None:
    doubt = raised(ask(journal, shard))
    fold(shard, journal.tick(TIMEOUT_MS))
    late = say(journal, shard, doubt, 0.9)
    assert (late.effects, late.decisions, late.counts) == ([], [], [("dropped", "late_opinion")])
    assert opinions(shard) == []


def test_an_opinion_that_nobody_asked_for_changes_nothing(journal: Journal, shard: Shard) -> None:
    doubt = raised(ask(journal, shard))
    before = dict(shard.overlay.uncommitted)
    for stranger in ({"id": "0-99-tag"}, {"entry": doubt.entry + 1}):
        out = say(journal, shard, doubt.model_copy(update=stranger), 1.0)
        assert (out.effects, out.decisions) == ([], [])
    assert shard.overlay.uncommitted == before
    assert only(say(journal, shard, doubt, 0.9)).outcome is Outcome.HIT


def test_a_repeated_opinion_changes_nothing(journal: Journal, shard: Shard) -> None:
    doubt = raised(ask(journal, shard))
    say(journal, shard, doubt, 0.9)
    for score in (0.9, 0.1, None):
        again = say(journal, shard, doubt, score)
        assert (again.effects, again.decisions) == ([], [])
    assert opinions(shard) == [Opinion(score=0.9, verifier="words/1")]


def test_the_same_text_needs_no_second_opinion(journal: Journal, shard: Shard) -> None:
    decision = only(ask(journal, shard, ON, at(1)))
    assert (decision.outcome, decision.reason, decision.verifier) == (Outcome.HIT, Reason.EXACT_TEXT, None)


def test_what_is_too_far_or_refused_by_a_guard_raises_no_doubt(journal: Journal) -> None:
    shard = ready(journal, guards=tuple(Guard))
    assert effects(ask(journal, shard, vector=near(0.6)), "doubts") == []
    assert effects(ask(journal, shard, "How do I turn off the alarm?"), "doubts") == []


def test_other_categories_ask_for_no_opinion(journal: Journal) -> None:
    assert only(ask(journal, ready(journal, verify=None))).outcome is Outcome.HIT


@pytest.mark.parametrize("score", [0.1, None])
def test_from_the_cache_only_means_an_error_after_a_refusal(
    journal: Journal, shard: Shard, score: float | None
) -> None:
    said = say(journal, shard, raised(ask(journal, shard, mode=CacheMode.ONLY)), score)
    (response,) = responses(said)
    assert (response.outcome, response.error and response.error.code) == (Outcome.ERROR, "not_cached")
    assert effects(said, "forwards") == []


def test_from_the_cache_only_means_an_error_after_silence(journal: Journal, shard: Shard) -> None:
    raised(ask(journal, shard, mode=CacheMode.ONLY))
    ticked = fold(shard, journal.tick(TIMEOUT_MS))
    assert [response.error and response.error.code for response in responses(ticked)] == ["not_cached"]
    assert effects(ticked, "forwards") == []


def test_a_hit_counts_once_as_a_use_of_its_entry(journal: Journal, shard: Shard) -> None:
    say(journal, shard, raised(ask(journal, shard)), 0.9)
    again = only(ask(journal, shard))
    assert again.outcome is Outcome.HIT
    assert (again.verifier, again.verifier_score) == ("words/1", 0.9)


def test_questions_in_doubt_wait_apart(journal: Journal, shard: Shard) -> None:
    first, second = raised(ask(journal, shard)), raised(ask(journal, shard, "How could I turn on the alarm?"))
    assert only(say(journal, shard, second, 0.1)).id == second.id
    assert only(say(journal, shard, first, 0.9)).id == first.id


def test_a_strict_question_waits_for_no_answer_to_other_words(journal: Journal) -> None:
    shard = new_shard()
    fold(shard, journal.policy(verify=0.5))
    ask(journal, shard, ON, at(1))
    assert only(ask(journal, shard)).outcome is Outcome.MISS
    assert only(ask(journal, shard, ON, at(1))).outcome is Outcome.COALESCED


def test_a_crash_repeats_nothing(journal: Journal, shard: Shard) -> None:
    record = journal.ask(AGAIN, near(0.97))
    doubt = raised(fold(shard, record))
    shard = born_again(shard)
    repeated = fold(shard, journal.add(record.value or b""))
    assert (repeated.effects, repeated.decisions) == ([], [])
    assert next_timer_ms(shard) == doubt.deadline_at_ms
    assert only(say(journal, shard, doubt, 0.9)).outcome is Outcome.HIT
    shard = born_again(shard)
    again = say(journal, shard, doubt, 0.9)
    assert (again.effects, again.decisions) == ([], [])
    assert opinions(shard) == [Opinion(score=0.9, verifier="words/1")]
    assert only(ask(journal, shard)).outcome is Outcome.HIT


def test_folding_again_gives_the_same_bytes(journal: Journal, shard: Shard) -> None:
    first = raised(ask(journal, shard))
    say(journal, shard, first, 0.9)
    raised(ask(journal, shard, "How could I turn on the alarm?"))
    fold(shard, journal.tick(TIMEOUT_MS))
    one, other = new_shard(), new_shard()
    assert fold_all(one, journal.records) == fold_all(other, journal.records)
    assert one.overlay.uncommitted == other.overlay.uncommitted == shard.overlay.uncommitted


def test_an_entry_that_leaves_takes_its_opinions_with_it(journal: Journal, shard: Shard) -> None:
    say(journal, shard, raised(ask(journal, shard)), 0.9)
    assert len(opinions(shard)) == 1
    fold(shard, journal.add(EntriesInvalidated(version=1, category="code")))
    fold(shard, journal.tick())
    assert opinions(shard) == []
    assert _column(shard, ENTRIES) == []


def test_an_entry_that_is_evicted_takes_its_opinions_with_it(journal: Journal) -> None:
    shard = ready(journal, quota={"cap": 1})
    say(journal, shard, raised(ask(journal, shard)), 0.1)
    assert len(opinions(shard)) == 1
    remembered(journal, shard, "Something else entirely?", at(0, 1))
    fold(shard, journal.tick())
    assert opinions(shard) == []


def test_an_entry_that_leaves_while_its_opinion_is_waited_for_is_not_served(journal: Journal, shard: Shard) -> None:
    doubt = raised(ask(journal, shard))
    fold(shard, journal.add(EntriesInvalidated(version=1, category="code")))
    fold(shard, journal.tick())
    said = say(journal, shard, doubt, 1.0)
    assert only(said).outcome is Outcome.MISS
    assert forward_id(said) == doubt.id
    assert opinions(shard) == []


def test_a_category_that_became_never_keeps_nothing_of_a_question_in_doubt(journal: Journal, shard: Shard) -> None:
    doubt = raised(ask(journal, shard))
    fold(shard, journal.policy(version=1, cache="never"))
    said = say(journal, shard, doubt, 1.0)
    assert (only(said).outcome, only(said).reason) == (Outcome.BYPASS, Reason.CATEGORY_NEVER)
    assert doubts(shard) == []
    fold(shard, journal.tick())
    assert opinions(shard) == []


def test_no_opinion_is_waited_for_beyond_the_requests_own_deadline(journal: Journal, shard: Shard) -> None:
    doubt = raised(ask(journal, shard, deadline_at_ms=journal.time_ms + 200))
    assert doubt.deadline_at_ms <= journal.time_ms + 200
