"""Questions that come faster than they are embedded: what has waited too long passes the cache by."""

from __future__ import annotations

from typing import Any

import pytest

from refrain.schemas.decisions import Reason
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.responses import Outcome, Response
from refrain.streams.errors import RefusalCode
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.settings import Classify
from tests.streams.classify.entrance import (
    BY_EXAMPLE,
    NOW_MS,
    POLICY,
    SECRET,
    Entrance,
    ask,
    asked_of,
    passed_of,
    text_in,
)

WAIT_MAX_MS = 500
LONG_MS = 60_000
LIMITS = Classify(wait_max_ms=WAIT_MAX_MS)
MORE_LEFT = {2: 100}
BY_MEANING = Policy(
    categories={"code": CategoryPolicy(examples=("How do I sort a list?",)), "uncategorised": CategoryPolicy()}
)


class Loaded:
    """An entrance that has kept up for long, and takes a batch when its questions have waited for `wait_ms`."""

    def __init__(self, policy: Policy = POLICY, limits: Classify = LIMITS, wait_ms: int = WAIT_MAX_MS + 1) -> None:
        self.entrance = Entrance(policy, limits)
        self.wait_ms = wait_ms
        self.entrance.classifier.polled(
            [ask("before")._replace(timestamp_ms=NOW_MS - LONG_MS)], lambda: {2: 0}, NOW_MS - LONG_MS
        )

    def __call__(self, *records: Record) -> list[Outgoing]:
        self.entrance.classifier.polled(records, lambda: MORE_LEFT, NOW_MS + self.wait_ms)
        return self.entrance(*records)

    def metric(self, name: str) -> float | None:
        return self.entrance.metrics.registry.get_sample_value(name)


def test_a_question_that_waited_too_long_is_asked_without_a_vector() -> None:
    loaded = Loaded()
    late = asked_of(loaded(ask("What is a list?", category="code")))
    assert (late.overload, late.vector) == (True, None)
    assert loaded.entrance.embedder.calls == [["How do I sort a list in Python?"]], "of the policy alone"
    assert loaded.metric("refrain_questions_overload_total") == 1


@pytest.mark.parametrize(("wait_ms", "limit_ms"), [(WAIT_MAX_MS, WAIT_MAX_MS), (0, WAIT_MAX_MS), (LONG_MS, 0)])
def test_a_question_that_waited_no_longer_than_it_may_is_embedded(wait_ms: int, limit_ms: int) -> None:
    loaded = Loaded(limits=Classify(wait_max_ms=limit_ms), wait_ms=wait_ms)
    event = asked_of(loaded(ask(category="code")))
    assert not event.overload
    assert event.vector is not None
    assert loaded.metric("refrain_questions_overload_total") == 0


def test_it_is_found_where_the_same_text_in_time_is_kept() -> None:
    late, in_time = Loaded(), Loaded(wait_ms=0)
    long = "word " * 100
    for text in ("What is a list?", long):
        one, other = (asked_of(each(ask(text, category="code"))) for each in (late, in_time))
        assert (one.context, one.text_digest, one.space, one.fields) == (
            other.context, other.text_digest, other.space, other.fields,
        )  # fmt: skip


def test_a_text_whose_vector_is_remembered_is_looked_up_however_long_it_waited() -> None:
    loaded = Loaded()
    loaded.entrance(ask("What is a list?", 0, category="code"))
    remembered, new = loaded(ask("What is a list?", 1, category="code"), ask("And a tuple?", 2, category="code"))
    assert [asked_of([out]).overload for out in (remembered, new)] == [False, True]
    assert asked_of([remembered]).vector is not None


def test_those_of_a_batch_that_are_late_pass_and_the_order_stays() -> None:
    loaded = Loaded(wait_ms=WAIT_MAX_MS + 100)
    records = [ask(f"q{n}", n, category="code")._replace(timestamp_ms=NOW_MS + 150 * n) for n in range(5)]
    events = [asked_of([out]) for out in loaded(*records)]
    assert [event.origin.offset for event in events] == [0, 1, 2, 3, 4]
    assert [event.overload for event in events] == [True, True, True, False, False]


def test_a_batch_that_is_processed_again_has_the_same_outcome() -> None:
    loaded = Loaded()
    records = [ask("a", 1, category="code"), ask("b", 2)]
    assert loaded(*records) == loaded.entrance(*records)


def test_what_needs_no_vector_is_never_late() -> None:
    last = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    assert not asked_of(Loaded()(ask(category="code", body=last))).overload


def test_what_passes_by_anyway_does_so_for_its_own_reason() -> None:
    loaded = Loaded()
    assert passed_of(loaded(ask(SECRET)))[1].reason == Reason.CATEGORY_NEVER
    assert passed_of(loaded(ask(cache="bypass")))[1].reason == Reason.BYPASS_ASKED
    assert loaded.metric("refrain_questions_overload_total") == 0


def test_without_a_vector_a_question_that_only_its_meaning_places_is_uncategorised() -> None:
    event = asked_of(Loaded(BY_MEANING)(ask("How do I sort a list?!")))
    assert (event.category, event.overload, event.vector) == ("uncategorised", True, None)


@pytest.mark.parametrize("text", ["which pills help against a fever", "hello"])
def test_what_might_be_never_reaches_the_model_alone(text: str) -> None:
    loaded = Loaded(BY_EXAMPLE)
    out = loaded(ask(text))
    _, passed = passed_of(out)
    assert (passed.reason, passed.outcome) == (Reason.OVERLOAD, Outcome.BYPASS)
    assert text_in(out, text) == {"forwards"}
    assert len(loaded.entrance.remembering) == 1, "the policy's example"


def test_where_no_category_takes_it_the_reason_is_that_there_was_no_time() -> None:
    policy = Policy(categories={"code": BY_MEANING.categories["code"]})
    assert passed_of(Loaded(policy)(ask("some words")))[1].reason == Reason.OVERLOAD


def test_without_a_vector_what_is_uncategorised_and_never_kept_is_not_kept() -> None:
    never = {"uncategorised": CategoryPolicy(cache=Cacheable.NEVER)}
    out = Loaded(BY_MEANING.model_copy(update={"categories": {**BY_MEANING.categories, **never}}))(ask(SECRET))
    assert passed_of(out)[1].reason == Reason.CATEGORY_NEVER
    assert text_in(out, SECRET) == {"forwards"}


def test_who_wants_no_model_is_told_that_there_was_no_time() -> None:
    answer, _ = Loaded(BY_EXAMPLE)(ask(cache="only"))
    response = Response.decode(answer.value or b"")
    assert response.error is not None
    assert response.decision is not None
    assert (response.error.code, response.decision.reason) == (RefusalCode.NOT_CACHED, Reason.OVERLOAD)
    assert "ask again later" in response.error.message


def test_a_question_that_cannot_be_taken_is_refused_however_long_it_waited() -> None:
    out: list[Any] = Loaded()(ask("  "))
    assert [each.topic for each in out] == ["dead-letters", "responses"]


def test_waits_and_texts_are_counted() -> None:
    loaded = Loaded(wait_ms=2_000)
    loaded(ask("a", 1, category="code"), ask("b", 2, category="code"))
    assert loaded.metric("refrain_question_wait_seconds_count") == 3
    assert loaded.metric("refrain_question_wait_seconds_sum") == pytest.approx(4.0)
    assert loaded.metric("refrain_texts_together_count") == 0
    loaded.entrance(*(ask(text, number, category="code") for number, text in enumerate(("c", "d", "c"), 3)))
    assert loaded.metric("refrain_texts_together_sum") == 2
