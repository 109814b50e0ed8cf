"""What the shard makes of a question whose answer depends on now or on who asks: by `Asked` and the policy alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refrain.schemas.base import Dependence
from refrain.schemas.decisions import CountedDependence, Decision, Reason
from refrain.schemas.journal import LoadChanged
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome, Response
from refrain.streams.errors import RefusalCode
from refrain.streams.messaging.routes import DirectRoute, decode_route
from refrain.streams.shard.behaviour import BEHAVIOUR
from refrain.streams.shard.fold import fold
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from tests.streams.shard.journal import Journal, effects, forward_id, new_shard, remembered, responses, vector

TIME = Dependence(rules="0a1b2c3d", volatile=("time is it",))
BALANCE = Dependence(rules="0a1b2c3d", personal=("my balance",))
PLAIN = Dependence(rules="0a1b2c3d")
SHORT = {"volatile": {"ttl_ms": 1_000}, "ttl_ms": 60_000}
V = vector(1)


class Case:
    """A shard under one policy, and its journal."""

    def __init__(self, **category: Any) -> None:
        self.journal, self.shard = Journal(), new_shard()
        fold(self.shard, self.journal.policy(**category))

    def keep(self, text: str, depends: Dependence | None, **fields: Any) -> None:
        remembered(self.journal, self.shard, text, V, depends=depends, **fields)

    def ask(self, text: str, depends: Dependence | None, after_ms: int = 1, **fields: Any) -> Decision:
        return only(self.folded(text, depends, after_ms, **fields))

    def folded(self, text: str, depends: Dependence | None, after_ms: int = 1, **fields: Any) -> FoldResult:
        return fold(self.shard, self.journal.ask(text, V, after_ms, depends=depends, **fields))


def only(folded: FoldResult) -> Decision:
    (decision,) = folded.decisions
    return decision


def by(names: tuple[str, ...]) -> Dependence:
    return Dependence.model_validate({**BALANCE.model_dump(), "named": names})


def counted(depends: Dependence) -> CountedDependence:
    """The same as a decision tells it, without the words."""
    return CountedDependence(
        rules=depends.rules,
        volatile_words=len(depends.volatile),
        personal_words=len(depends.personal),
        named=depends.named,
    )


@pytest.mark.parametrize(
    ("category", "depends", "reason"),
    [
        ({"volatile": "never"}, TIME, Reason.VOLATILE),
        ({"personal": "never"}, BALANCE, Reason.PERSONAL),
        ({"personal": "never"}, by(("user", "vary", "turns")), Reason.PERSONAL),
        ({"personal": {"require": ["user"]}}, BALANCE, Reason.PERSONAL),
        ({"personal": {"require": ["user"]}}, by(("vary", "turns")), Reason.PERSONAL),
    ],
)
def test_what_may_not_be_kept_goes_to_the_model_and_nothing_of_it_stays(
    category: dict[str, Any], depends: Dependence, reason: Reason
) -> None:
    case = Case(**category)
    folded = case.folded("q", depends)
    decision = only(folded)
    assert (decision.outcome, decision.reason, decision.depends) == (Outcome.BYPASS, reason, counted(depends))
    (forward,) = effects(folded, "forwards")
    assert isinstance(decode_route(json.loads(forward.value or b"")["route"], forward_id(folded)), DirectRoute)
    assert (len(case.shard.flights), case.shard.flights.waiting) == (0, 0)


def test_it_is_not_served_what_was_kept_either() -> None:
    case = Case(volatile="never", personal="never")
    case.keep("q", PLAIN)
    assert case.ask("q", PLAIN).outcome is Outcome.HIT
    assert case.ask("q", TIME).reason is Reason.VOLATILE
    assert case.ask("q", BALANCE).reason is Reason.PERSONAL


def test_it_waits_for_nobody_else() -> None:
    case = Case(personal="never")
    case.ask("q", PLAIN)
    assert case.ask("q", PLAIN).outcome is Outcome.COALESCED
    assert case.ask("q", BALANCE).outcome is Outcome.BYPASS


def test_who_wants_no_model_is_told_that_it_is_not_kept() -> None:
    folded = Case(volatile="never").folded("q", TIME, mode=CacheMode.ONLY)
    (response,) = responses(folded)
    assert response.error is not None
    assert response.error.code == RefusalCode.NOT_CACHED
    assert (only(folded).outcome, only(folded).reason) == (Outcome.ERROR, Reason.VOLATILE)


@pytest.mark.parametrize("names", [("user",), ("vary",), ("turns",), ("user", "turns")])
def test_a_personal_question_is_kept_where_the_request_names_the_asker(names: tuple[str, ...]) -> None:
    case = Case(personal={"require": ["user", "vary", "turns"]})
    case.keep("q", by(names))
    assert case.ask("q", by(names)).outcome is Outcome.HIT


def test_an_answer_that_depends_on_now_lives_for_its_shorter_time() -> None:
    case = Case(**SHORT)
    case.keep("q", TIME)
    hit = case.ask("q", TIME, after_ms=900)
    assert (hit.outcome, hit.ttl_ms, hit.base_ttl_ms, hit.depends) == (Outcome.HIT, 1_000, 1_000, counted(TIME))
    late = case.ask("q", TIME, after_ms=200)
    assert (late.outcome, late.reason) == (Outcome.MISS, Reason.EXPIRED)


def test_other_answers_live_as_long_as_the_category_says() -> None:
    case = Case(**SHORT)
    case.keep("q", PLAIN)
    hit = case.ask("q", PLAIN, after_ms=50_000)
    assert (hit.outcome, hit.ttl_ms, hit.depends) == (Outcome.HIT, 60_000, None)


def test_a_shorter_life_of_the_category_counts() -> None:
    assert Case(volatile={"ttl_ms": 1_000}, ttl_ms=500).ask("q", TIME).ttl_ms == 500


def test_load_does_not_stretch_it() -> None:
    case = Case(**SHORT, ttl_cap_ms=600_000)
    load = LoadChanged(version=1, model="m", load=1.0, valid_until_ms=10**9)
    fold(case.shard, case.journal.add(load))
    assert (case.ask("q", PLAIN).ttl_ms, case.ask("p", TIME).ttl_ms) == (600_000, 1_000)


def test_it_is_never_served_stale() -> None:
    case = Case(**SHORT, stale_while_revalidate_ms=60_000)
    case.keep("q", TIME)
    assert case.ask("q", TIME, after_ms=2_000).outcome is Outcome.MISS


def test_a_category_that_allows_both_treats_them_like_others() -> None:
    case = Case()
    both = TIME.model_copy(update={"personal": BALANCE.personal})
    case.keep("q", both)
    hit = case.ask("q", both)
    assert (hit.outcome, hit.depends) == (Outcome.HIT, counted(both))


def test_a_record_of_an_older_classify_is_folded_as_before() -> None:
    case = Case(volatile="never", personal="never")
    case.keep("q", None)
    hit = case.ask("q", None)
    assert (hit.outcome, hit.depends, hit.behaviour) == (Outcome.HIT, None, BEHAVIOUR)


def test_a_decision_names_the_rules_that_looked() -> None:
    case = Case()
    assert case.ask("q", PLAIN).behaviour == case.ask("p", TIME).behaviour == f"{BEHAVIOUR}/0a1b2c3d"


def test_the_requester_is_told_the_words_that_decided() -> None:
    case = Case(personal={"require": ["user"]})
    mine = by(("user",))
    asked = case.folded("q", mine)
    told = fold(case.shard, case.journal.answer(forward_id(asked)))
    (response,) = responses(told)
    assert response.decision is not None
    assert response.decision.depends == mine


def test_the_same_journal_under_another_policy_is_decided_by_that() -> None:
    case = Case(**SHORT)
    case.keep("q", TIME)
    case.ask("q", TIME)
    outcomes = [replayed(case.journal, volatile=volatile) for volatile in ("allow", "never", {"ttl_ms": 1_000})]
    assert outcomes == [[Outcome.MISS, Outcome.HIT], [Outcome.BYPASS, Outcome.BYPASS], [Outcome.MISS, Outcome.HIT]]


def replayed(journal: Journal, **category: Any) -> list[Outcome]:
    other, shard = Journal(), new_shard()
    fold(shard, other.policy(**category))
    return [decision.outcome for record in journal.records[1:] for decision in decided(shard, record)]


def decided(shard: Shard, record: Any) -> list[Decision]:
    return fold(shard, record).decisions


def test_a_response_without_the_field_is_still_read() -> None:
    (response,) = responses(fold(*_refused()))
    plain = json.loads(response.encode())
    del plain["decision"]["depends"]
    assert Response.decode(json.dumps(plain)).decision is not None


def _refused() -> tuple[Shard, Any]:
    case = Case(volatile="never")
    return case.shard, case.journal.ask("q", V, depends=TIME, mode=CacheMode.ONLY)
