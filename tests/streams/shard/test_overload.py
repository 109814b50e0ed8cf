"""Questions that there was no time to embed: what the shard still serves them, and that nothing of them stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refrain.schemas.decisions import Reason
from refrain.schemas.policy import Cacheable
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.errors import RefusalCode
from refrain.streams.messaging.routes import DirectRoute, decode_route
from refrain.streams.shard.fold import fold
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from tests.streams.shard.journal import Journal, effects, forward_id, new_shard, remembered, responses, vector


class Case:
    """A shard under a policy, and the journal that it folds."""

    def __init__(self, **category: Any) -> None:
        self.journal, self.shard = Journal(), new_shard()
        fold(self.shard, self.journal.policy(**category))

    def remember(self, text: str, vector: str | None) -> None:
        remembered(self.journal, self.shard, text, vector)

    def ask(self, text: str, vector: str | None, **fields: Any) -> FoldResult:
        return fold(self.shard, self.journal.ask(text, vector, **fields))

    def ask_late(self, text: str, **fields: Any) -> FoldResult:
        """Ask without a vector, for want of time."""
        return self.ask(text, None, overload=True, **fields)


def came_of(folded: FoldResult) -> tuple[Outcome, Reason]:
    (decision,) = folded.decisions
    return decision.outcome, decision.reason


def held(shard: Shard) -> tuple[int, int, set[bytes]]:
    """Flights and waiting requests of the shard, and the keys of its uncommitted records."""
    return len(shard.flights), shard.flights.waiting, set(shard.overlay.uncommitted)


def test_the_same_text_is_served() -> None:
    case = Case()
    case.remember("how?", vector(1))
    asked = case.ask_late("how?")
    assert came_of(asked) == (Outcome.HIT, Reason.EXACT_TEXT)
    assert [each.outcome for each in responses(asked)] == [Outcome.HIT]


def test_what_is_not_kept_goes_straight_to_the_model_and_leaves_nothing() -> None:
    case = Case()
    case.remember("how?", vector(1))
    before = held(case.shard)
    asked = case.ask_late("so how?", request_id="late")
    assert came_of(asked) == (Outcome.BYPASS, Reason.OVERLOAD)
    (forward,) = effects(asked, "forwards")
    route = decode_route(json.loads(forward.value or b"")["route"], forward_id(asked))
    assert isinstance(route, DirectRoute)
    assert (route.request_id, route.decision.reason) == ("late", Reason.OVERLOAD)
    assert held(case.shard) == before


def test_the_same_text_on_its_way_is_waited_for() -> None:
    case = Case()
    first = case.ask("how?", vector(1))
    late = case.ask_late("how?")
    assert came_of(late) == (Outcome.COALESCED, Reason.IN_FLIGHT)
    assert effects(late, "forwards") == []
    landed = fold(case.shard, case.journal.answer(forward_id(first)))
    assert [each.outcome for each in responses(landed)] == [Outcome.MISS, Outcome.COALESCED]


def test_nobody_waits_for_a_question_that_was_late() -> None:
    case = Case()
    case.ask_late("how?")
    assert came_of(case.ask_late("how?")) == (Outcome.BYPASS, Reason.OVERLOAD)
    assert came_of(case.ask("how?", vector(1))) == (Outcome.MISS, Reason.NAMESPACE_EMPTY)


def test_an_answer_beyond_its_lifetime_is_not_renewed_without_a_vector() -> None:
    case = Case(ttl_ms=1_000, stale_while_revalidate_ms=60_000)
    case.remember("how?", vector(1))
    assert came_of(case.ask_late("how?", after_ms=2_000)) == (Outcome.BYPASS, Reason.OVERLOAD)
    assert came_of(case.ask("so how?", vector(1))) == (Outcome.HIT, Reason.STALE)


@pytest.mark.parametrize("mode", [CacheMode.REFRESH, CacheMode.OBSERVE])
def test_a_new_answer_that_is_asked_for_is_given_and_not_kept(mode: CacheMode) -> None:
    case = Case()
    case.remember("how?", vector(1))
    before = held(case.shard)
    assert came_of(case.ask_late("how?", mode=mode)) == (Outcome.BYPASS, Reason.OVERLOAD)
    assert held(case.shard) == before
    assert came_of(case.ask("so how?", vector(1))) == (Outcome.HIT, Reason.SIMILAR_TEXT)


def test_in_an_observed_category_nothing_is_observed() -> None:
    case = Case(cache=Cacheable.OBSERVE)
    case.remember("how?", vector(1))
    assert came_of(case.ask_late("how?")) == (Outcome.BYPASS, Reason.OVERLOAD)


def test_who_wants_no_model_is_told_that_there_was_no_time() -> None:
    case = Case()
    case.remember("how?", vector(1))
    assert came_of(case.ask_late("how?", mode=CacheMode.ONLY)) == (Outcome.HIT, Reason.EXACT_TEXT)
    asked = case.ask_late("so how?", mode=CacheMode.ONLY)
    assert came_of(asked) == (Outcome.ERROR, Reason.OVERLOAD)
    (response,) = responses(asked)
    assert response.error is not None
    assert response.error.code == RefusalCode.NOT_CACHED
    assert "ask again later" in response.error.message
    assert effects(asked, "forwards") == []


def test_what_may_not_be_kept_passes_for_that_reason() -> None:
    case = Case()
    assert came_of(case.ask_late("how?", category="secret")) == (Outcome.BYPASS, Reason.CATEGORY_NEVER)
