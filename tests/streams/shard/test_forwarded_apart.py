"""Who waits in other words than the leader gets an answer that is kept, or one of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refrain.schemas.journal import CacheSwitched, EntriesInvalidated, HitJudged
from refrain.schemas.policy import Cacheable
from refrain.schemas.responses import Outcome, Response
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.routes import ShardRoute, decode_route
from refrain.streams.shard.fold import fold
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint
from tests.streams.shard.journal import JOURNAL_ID, TAG, Journal, effects, forward_id, near, new_shard, responses
from tests.streams.shard.journal import vector as at

CUT_OFF: dict[str, Any] = {"finish_reason": "length"}
TOOL_CALL: dict[str, Any] = {"message": {"tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"}


def ready(journal: Journal, **category: Any) -> tuple[Shard, str]:
    """A shard where r0 is on its way to the model, r1 waits for it in the same words and r2 in others."""
    shard = new_shard()
    fold(shard, journal.policy(**category))
    leader = forward_id(fold(shard, journal.ask("how?", at(1))))
    same = fold(shard, journal.ask("how?", at(1)))
    other = fold(shard, journal.ask("how so?", near(0.97)))
    assert {each.decisions[0].outcome for each in (same, other)} == {Outcome.COALESCED}
    return shard, leader


def told(folded: FoldResult) -> list[tuple[str | None, Outcome, str | None]]:
    """Who was answered, how, and with which text."""
    return [(each.request_id, each.outcome, text_of(each)) for each in responses(folded)]


def text_of(response: Response) -> str | None:
    return None if response.body is None else response.body["choices"][0]["message"]["content"]


def forwards(folded: FoldResult) -> list[Outgoing]:
    return effects(folded, "forwards")


def restarted(shard: Shard) -> Shard:
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    return load_shard(0, 32, JOURNAL_ID, shard.store)


def test_an_answer_that_is_kept_serves_all_who_wait(journal: Journal) -> None:
    shard, leader = ready(journal)
    landed = fold(shard, journal.answer(leader, "so"))
    assert told(landed) == [
        ("r0", Outcome.MISS, "so"),
        ("r1", Outcome.COALESCED, "so"),
        ("r2", Outcome.COALESCED, "so"),
    ]
    assert forwards(landed) == []


@pytest.mark.parametrize(
    "answer",
    [
        CUT_OFF,
        TOOL_CALL,
        {"finish_reason": "content_filter"},
        {"message": {"refusal": "no"}},
        {"text": " "},
        {"text": "x" * 300_000},
        {"prompt_logprobs": [{"1": {"decoded_token": "how"}}]},
    ],
    ids=["cut off", "tool call", "filtered", "refusal", "empty", "too large", "question beside it"],
)
def test_an_answer_that_is_not_kept_is_for_those_who_asked_in_its_words(
    journal: Journal, answer: dict[str, Any]
) -> None:
    shard, leader = ready(journal)
    landed = fold(shard, journal.answer(leader, **answer))
    assert [each[:2] for each in told(landed)] == [("r0", Outcome.MISS), ("r1", Outcome.COALESCED)]
    (forward,) = forwards(landed)
    assert json.loads(forward.value or b"")["body"]["messages"] == [{"role": "user", "content": "how so?"}]


def test_who_was_forwarded_apart_gets_an_answer_of_their_own_which_is_kept(journal: Journal) -> None:
    shard, leader = ready(journal)
    apart = forward_id(fold(shard, journal.answer(leader, "half", **CUT_OFF)))
    own = fold(shard, journal.answer(apart, "mine"))
    assert told(own) == [("r2", Outcome.MISS, "mine")]
    (response,) = responses(own)
    assert response.decision is not None
    assert (response.decision.id, response.decision.reason) == (apart, "in_flight")
    assert own.decisions == []
    assert fold(shard, journal.ask("how so?", near(0.97))).decisions[0].outcome is Outcome.HIT
    assert (len(shard.flights), shard.flights.waiting) == (0, 0)


def test_several_in_the_same_other_words_share_one_forward_and_each_wording_has_its_own(journal: Journal) -> None:
    shard, leader = ready(journal)
    fold(shard, journal.ask("how so?", near(0.97)))
    fold(shard, journal.ask("how then?", near(0.96)))
    landed = fold(shard, journal.answer(leader, **CUT_OFF))
    first, second = [(each.key or b"").decode() for each in forwards(landed)]
    assert (first, second) == (f"0-2-{TAG}", f"0-4-{TAG}")
    assert told(fold(shard, journal.answer(second, "c"))) == [("r4", Outcome.MISS, "c")]
    assert told(fold(shard, journal.answer(first, "b"))) == [("r2", Outcome.MISS, "b"), ("r3", Outcome.COALESCED, "b")]


def test_nobody_is_forwarded_apart_twice(journal: Journal) -> None:
    shard, leader = ready(journal)
    fold(shard, journal.ask("how so?", near(0.97)))
    apart = forward_id(fold(shard, journal.answer(leader, **CUT_OFF)))
    again = fold(shard, journal.answer(apart, "half", **CUT_OFF))
    assert told(again) == [("r2", Outcome.MISS, "half"), ("r3", Outcome.COALESCED, "half")]
    assert forwards(again) == []


@pytest.mark.parametrize("restart_at", [(1,), (2,), (1, 2)])
def test_a_restarted_shard_forwards_apart_like_the_one_that_went_on(
    journal: Journal, restart_at: tuple[int, ...]
) -> None:
    shard, leader = ready(journal)
    fold(shard, journal.ask("how so?", near(0.97)))
    kept = load_shard(0, 32, JOURNAL_ID, restarted(shard).store) if 1 in restart_at else shard
    landed = fold(kept, journal.answer(leader, **CUT_OFF))
    apart = forward_id(landed)
    kept = restarted(kept) if 2 in restart_at else kept
    assert told(fold(kept, journal.answer(apart, "b"))) == [("r2", Outcome.MISS, "b"), ("r3", Outcome.COALESCED, "b")]
    kept = restarted(kept)
    assert (len(kept.flights), kept.flights.waiting, len(kept.entries)) == (0, 0, 1)


def test_a_failure_and_a_deadline_reach_who_was_forwarded_apart_once(journal: Journal) -> None:
    shard, leader = ready(journal)
    apart = forward_id(fold(shard, journal.answer(leader, **CUT_OFF)))
    assert told(fold(shard, journal.fail(apart))) == [("r2", Outcome.ERROR, None)]
    shard, leader = ready(journal)
    forward_id(fold(shard, journal.answer(leader, **CUT_OFF)))
    assert [each[1] for each in told(fold(shard, journal.tick(after_ms=10_000)))] == [Outcome.ERROR]
    assert told(fold(shard, journal.tick(after_ms=60_000))) == []


def test_a_question_asked_later_waits_for_what_was_forwarded_apart(journal: Journal) -> None:
    shard, leader = ready(journal)
    apart = forward_id(fold(shard, journal.answer(leader, **CUT_OFF)))
    joined = fold(shard, journal.ask("how so?", near(0.97))).decisions[0]
    assert (joined.outcome, joined.forward_id) == (Outcome.COALESCED, apart)
    assert [each[0] for each in told(fold(shard, journal.answer(apart, "b")))] == ["r2", "r3"]


def test_the_way_back_of_a_question_forwarded_apart_leads_to_its_requester(journal: Journal) -> None:
    shard, leader = ready(journal)
    (forward,) = forwards(fold(shard, journal.answer(leader, **CUT_OFF)))
    route = decode_route(json.loads(forward.value or b"")["route"], (forward.key or b"").decode())
    assert isinstance(route, ShardRoute)
    assert (route.request_id, route.category, route.reply is not None) == ("r2", "code", True)


def test_a_withdrawal_meanwhile_makes_who_asked_in_other_words_ask_anew(journal: Journal) -> None:
    shard, leader = ready(journal)
    fold(shard, journal.add(EntriesInvalidated(version=1, category="code")))
    apart = forward_id(fold(shard, journal.answer(leader, "old")))
    assert told(fold(shard, journal.answer(apart, "new"))) == [("r2", Outcome.MISS, "new")]
    assert len(shard.entries) == 1


def test_switched_off_meanwhile_they_are_forwarded_and_nothing_is_kept(journal: Journal) -> None:
    shard, leader = ready(journal)
    fold(shard, journal.add(CacheSwitched(version=1, on=False, category="code")))
    apart = forward_id(fold(shard, journal.answer(leader, "so")))
    assert told(fold(shard, journal.answer(apart, "mine"))) == [("r2", Outcome.MISS, "mine")]
    assert len(shard.entries) == 0


def test_of_a_category_that_became_never_nothing_is_forwarded_by_the_shard(journal: Journal) -> None:
    shard, leader = ready(journal)
    fold(shard, journal.policy(version=1, cache=Cacheable.NEVER))
    landed = fold(shard, journal.answer(leader, "so"))
    assert [each[:2] for each in told(landed)] == [
        ("r0", Outcome.MISS), ("r1", Outcome.COALESCED), ("r2", Outcome.ERROR),
    ]  # fmt: skip
    assert responses(landed)[2].error is not None
    assert forwards(landed) == []


def test_a_judgement_of_an_answer_that_came_apart_withdraws_it(journal: Journal) -> None:
    shard, leader = ready(journal)
    apart = forward_id(fold(shard, journal.answer(leader, **CUT_OFF)))
    fold(shard, journal.answer(apart, "wrong"))
    wrong = HitJudged(version=1, decision_id=apart, correct=False, who="w", category="code", forward_id=leader)
    fold(shard, journal.add(wrong))
    assert len(shard.entries) == 0
