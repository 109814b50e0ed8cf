"""A model that does not answer for now keeps nobody waiting: what is remembered is looked up, the rest passes by."""

from __future__ import annotations

import logging

import pytest

from refrain.schemas.decisions import Reason
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.streams.classify.batch_vectors import MODEL_PAUSE_S
from refrain.streams.errors import ModelUnavailable
from tests.streams.classify.entrance import Entrance, ask, asked_of, passed_of
from tests.streams.clock import Clock

KNOWN, NEW = "How do I sort a list in python?", "How do I reverse a list in python?"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def entrance(clock: Clock) -> Entrance:
    """An entrance that has seen one question, and whose model is away then."""
    entrance = Entrance(clock=clock)
    entrance(ask(KNOWN))
    entrance.embedder.fails = ModelUnavailable("the embeddings endpoint answers 503")
    return entrance


def test_a_new_question_passes_by_and_a_remembered_one_is_looked_up(entrance: Entrance) -> None:
    new, known = (asked_of(entrance(ask(text, n, category="code"))) for n, text in enumerate((NEW, KNOWN)))
    assert (new.vector, new.overload) == (None, True)
    assert known.vector is not None
    assert not known.overload


def test_a_batch_keeps_its_order(entrance: Entrance) -> None:
    records = [ask(text, n, category="code") for n, text in enumerate((KNOWN, NEW, KNOWN, NEW + "!"))]
    events = [asked_of([each]) for each in entrance(*records)]
    assert [event.origin.offset for event in events] == [0, 1, 2, 3]
    assert [event.overload for event in events] == [False, True, False, True]


def test_the_model_is_asked_again_after_a_pause_and_not_before(entrance: Entrance, clock: Clock) -> None:
    entrance(ask(NEW, 1, category="code"))
    entrance.embedder.fails = None
    calls = len(entrance.embedder.calls)
    clock.now_s += MODEL_PAUSE_S - 0.1
    assert asked_of(entrance(ask(NEW, 2, category="code"))).overload
    assert len(entrance.embedder.calls) == calls
    clock.now_s += 0.2
    assert asked_of(entrance(ask(NEW, 3, category="code"))).vector is not None


def test_an_outage_is_logged_once_at_its_start_and_once_at_its_end(
    entrance: Entrance, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for number in range(3):
            entrance(ask(f"{NEW} {number}", number, category="code"))
            entrance(ask(KNOWN, 10 + number, category="code"))
            clock.now_s += MODEL_PAUSE_S
        entrance.embedder.fails = None
        entrance(ask(NEW, 20, category="code"))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "answers 503" in caplog.messages[0]
    assert NEW not in caplog.text


def test_what_passes_by_is_counted(entrance: Entrance) -> None:
    entrance(ask(NEW, 1, category="code"), ask(KNOWN, 2, category="code"))
    assert entrance.metrics.registry.get_sample_value("refrain_questions_overload_total") == 1


BILLING = CategoryPolicy(examples=("How do I pay my invoice?",))
MEDICAL = CategoryPolicy(cache=Cacheable.NEVER, examples=("Which pills help against fever?",))
BILL, PILLS = "how can I pay my invoice", "which pills help against a fever?"


def away_at_first(policy: Policy, clock: Clock) -> Entrance:
    entrance = Entrance(policy, clock=clock)
    entrance.embedder.fails = ModelUnavailable("the embeddings endpoint answers 503")
    return entrance


def test_a_policy_comes_into_force_whose_examples_cannot_be_embedded_yet(clock: Clock) -> None:
    policy = Policy(categories={"billing": BILLING, "medical": MEDICAL, "uncategorised": CategoryPolicy()})
    entrance = away_at_first(policy, clock)
    for number, text in enumerate((BILL, PILLS)):
        _, passed = passed_of(entrance(ask(text, number)))
        assert passed.reason == Reason.OVERLOAD
    assert asked_of(entrance(ask(BILL, 2, category="billing"))).category == "billing"
    entrance.embedder.fails = None
    clock.now_s += MODEL_PAUSE_S + 0.1
    assert asked_of(entrance(ask(BILL, 3))).category == "billing"
    _, passed = passed_of(entrance(ask(PILLS, 4)))
    assert passed.reason == Reason.CATEGORY_NEVER


def test_a_remembered_question_is_not_kept_while_examples_might_tell_that_it_is_never_to_be(clock: Clock) -> None:
    entrance = Entrance(Policy(categories={"billing": BILLING, "uncategorised": CategoryPolicy()}), clock=clock)
    entrance(ask(PILLS))
    entrance.embedder.fails = ModelUnavailable("the embeddings endpoint answers 503")
    policy = Policy(categories={"medical": MEDICAL, "uncategorised": CategoryPolicy()})
    entrance.in_force = entrance.in_force and entrance.in_force.model_copy(update={"policy": policy, "version": 5})
    # The second batch comes by a model that is asked, and the third by one that is not.
    assert [passed_of(entrance(ask(PILLS, number)))[1].reason for number in (1, 2)] == [Reason.OVERLOAD] * 2


def test_examples_of_kept_categories_alone_leave_questions_to_their_exact_match(clock: Clock) -> None:
    entrance = away_at_first(Policy(categories={"billing": BILLING, "uncategorised": CategoryPolicy()}), clock)
    asked = asked_of(entrance(ask(BILL)))
    assert (asked.category, asked.vector, asked.overload) == ("uncategorised", None, True)


def test_examples_are_embedded_once(clock: Clock) -> None:
    entrance = away_at_first(Policy(categories={"billing": BILLING}), clock)
    entrance(ask(BILL))
    entrance.embedder.fails = None
    clock.now_s += MODEL_PAUSE_S + 0.1
    for number in range(3):
        entrance(ask(BILL, 1 + number))
    assert [text for call in entrance.embedder.calls for text in call].count(BILLING.examples[0]) == 1
