"""Answers are given whole or not at all: all fields that tell of the answer, no errors, apologies for a short time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Outcome
from refrain.streams.shard.fold import fold, next_timer_ms
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint
from tests.streams.shard.journal import JOURNAL_ID, Journal, forward_id, near, ready, responses
from tests.streams.shard.journal import vector as at

Json = dict[str, Any]
LOGPROBS = {"content": [{"token": "so", "logprob": -0.1, "bytes": [115, 111], "top_logprobs": []}], "refusal": None}
SORRY = "I'm sorry, but I can't help with that."


def answered(journal: Journal, shard: Shard, body: Json, text: str = "how?", vector: str | None = None) -> list[Json]:
    """Ask twice at once, and let the model answer with `body`; the bodies that both get."""
    asked = fold(shard, journal.ask(text, vector or at(1)))
    fold(shard, journal.ask(text, vector or at(1)))
    landed = fold(shard, journal.answer(forward_id(asked), **body))
    return [each.body or {} for each in responses(landed)]


def served(journal: Journal, shard: Shard, text: str = "how?", **fields: Any) -> Json:
    """The body of a hit."""
    (response,) = responses(fold(shard, journal.ask(text, at(1), **fields)))
    assert response.outcome is Outcome.HIT
    assert response.body is not None
    return response.body


def restored(shard: Shard) -> Shard:
    """The shard after a restart."""
    shard.begin_commit()
    shard.finish_commit(Checkpoint(1, 1))
    return load_shard(0, 32, JOURNAL_ID, shard.store)


def choice(**more: Any) -> Json:
    message = {"role": "assistant", "content": "so", "annotations": [{"type": "url_citation"}]}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop", **more}]}


def test_a_hit_has_every_field_of_the_choice_and_of_what_is_beside_it(journal: Journal) -> None:
    shard = ready(journal)
    beside = {
        "system_fingerprint": "fp_1",
        "service_tier": "default",
        "citations": ["https://a"],
        "unheard_of": {"a": 1},
    }
    fields = {"logprobs": LOGPROBS, "stop_reason": None, "content_filter_results": {"hate": {"filtered": False}}}
    own, joined = answered(journal, shard, {**choice(**fields), **beside})
    hit = served(journal, restored(shard))
    for body in (joined, hit):
        assert body["choices"] == own["choices"]
        assert {name: body[name] for name in beside} == beside
        assert set(body) == set(own) | {"usage"}


def test_what_tells_of_one_call_is_not_given_to_another(journal: Journal) -> None:
    shard = ready(journal)
    of_call = {"request_id": "abc", "x_groq": {"id": "abc"}, "timings": {"predicted_ms": 12}, "kv_transfer_params": {}}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    own, joined = answered(journal, shard, {**of_call, "id": "chatcmpl-abc", "created": 5, "usage": usage})
    hit = served(journal, shard)
    assert own.items() >= of_call.items()
    for body in (joined, hit):
        assert of_call.keys().isdisjoint(body)
        assert body["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        assert body["created"] == journal.time_ms // 1_000
    assert len({body["id"] for body in (own, joined, hit)}) == 3


def test_an_answer_without_more_is_kept_as_before_and_served_with_no_more(journal: Journal) -> None:
    shard = ready(journal)
    answered(journal, shard, {})
    (kept,) = [value for key, value in shard.overlay.uncommitted.items() if key.startswith(b"entries/")]
    assert json.loads(json.loads(kept or b"")["answer"]["data"]).keys() == {"model", "message", "finish_reason"}
    assert served(journal, shard)["choices"][0].keys() == {"index", "message", "finish_reason"}


@pytest.mark.parametrize("name", ["prompt_logprobs", "prompt_token_ids"])
def test_an_answer_beside_which_the_question_stands_is_not_kept(journal: Journal, name: str) -> None:
    shard = ready(journal)
    answered(journal, shard, {name: [{"1": {"decoded_token": "how"}}]})
    assert len(shard.entries) == 0
    answered(journal, shard, {name: None})
    assert len(shard.entries) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 502, "message": "SECRET"}},
        {"error": {"code": 502, "message": "SECRET"}, "choices": []},
        {"choices": [{"index": 0, "message": {"content": "half"}, "error": {"code": 502, "message": "SECRET"}}]},
    ],
)
def test_an_error_in_place_of_an_answer_is_told_as_one_to_all_and_not_kept(journal: Journal, body: Json) -> None:
    shard = ready(journal)
    asked = fold(shard, journal.ask("how?", at(1)))
    fold(shard, journal.ask("how so?", near(0.97)))
    landed = fold(shard, journal.answer(forward_id(asked), **body))
    told = responses(landed)
    assert [(each.outcome, each.body) for each in told] == [(Outcome.ERROR, None)] * 2
    assert {each.error.code for each in told if each.error} == {"upstream_failed"}
    assert "SECRET" not in str(told)
    assert (len(shard.entries), len(shard.flights), shard.flights.waiting) == (0, 0, 0)


@pytest.mark.parametrize("text", [SORRY, "An error occurred while processing your request."])
def test_an_apology_is_kept_for_its_short_time_and_leaves_by_itself(journal: Journal, text: str) -> None:
    shard = ready(journal, ttl_ms=86_400_000, apology_ttl_ms=60_000)
    answered(journal, shard, {"message": {"content": text}})
    admitted_at_ms = journal.time_ms
    assert next_timer_ms(shard) == admitted_at_ms + 60_000
    assert served(journal, shard, after_ms=59_999)["choices"][0]["message"]["content"] == text
    shard = restored(shard)
    left = fold(shard, journal.ask("how?", at(1)))
    assert left.decisions[0].outcome is Outcome.MISS
    assert ("evicted", "code", "expired") in left.counts


def test_an_apology_is_not_served_stale_either(journal: Journal) -> None:
    shard = ready(journal, ttl_ms=1_000, stale_while_revalidate_ms=3_600_000, apology_ttl_ms=500)
    answered(journal, shard, {"message": {"content": SORRY}})
    asked = fold(shard, journal.ask("how?", at(1), after_ms=500, mode=CacheMode.ONLY))
    assert asked.decisions[0].outcome is Outcome.ERROR


def test_an_answer_lives_as_long_as_its_category_says(journal: Journal) -> None:
    shard = ready(journal, apology_ttl_ms=500)
    answered(journal, shard, {"message": {"content": "I'm sorry to hear that. Keep it warm."}})
    assert served(journal, shard, after_ms=80_000_000)


def test_a_policy_may_keep_no_apology_at_all(journal: Journal) -> None:
    shard = ready(journal, apology_ttl_ms=0)
    asked = fold(shard, journal.ask("how?", at(1)))
    landed = fold(shard, journal.answer(forward_id(asked), SORRY))
    assert [each.outcome for each in responses(landed)] == [Outcome.MISS]
    assert landed.counts == [("not_admitted", "apology")]


def test_a_newer_answer_takes_the_place_of_an_apology_and_outlives_it(journal: Journal) -> None:
    shard = ready(journal, apology_ttl_ms=60_000)
    answered(journal, shard, {"message": {"content": SORRY}})
    again = fold(shard, journal.ask("how?", at(1), mode=CacheMode.REFRESH))
    fold(shard, journal.answer(forward_id(again), "so"))
    assert served(journal, shard, after_ms=60_000)["choices"][0]["message"]["content"] == "so"
    assert len(shard.entries) == 1


def test_many_apologies_leave_a_bounded_number_at_a_time(journal: Journal) -> None:
    shard = ready(journal, apology_ttl_ms=1_000)
    for number in range(120):
        asked = fold(
            shard, journal.ask(f"how {number}?", at(*([0.0] * (number % 16)), 1.0), after_ms=0, context=str(number))
        )
        fold(shard, journal.answer(forward_id(asked), SORRY, after_ms=0))
    first = fold(shard, journal.tick(after_ms=1_000))
    assert (len(shard.entries), first.more) == (20, True)
    second = fold(shard, journal.tick(after_ms=0))
    assert (len(shard.entries), second.more) == (0, False)
    assert next_timer_ms(shard) is None


def test_a_call_of_a_tool_that_may_be_kept_is_no_apology(journal: Journal) -> None:
    shard = ready(journal, tool_calls=True, apology_ttl_ms=0)
    call = {"content": SORRY, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}
    asked = fold(shard, journal.ask("how?", at(1)))
    fold(shard, journal.answer(forward_id(asked), message=call, finish_reason="tool_calls"))
    assert len(shard.entries) == 1
