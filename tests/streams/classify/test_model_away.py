"""A model that does not answer for now keeps nobody waiting: what is remembered is looked up, the rest passes by."""

from __future__ import annotations

import logging

import pytest

from refrain.streams.classify.batch_vectors import MODEL_PAUSE_S
from refrain.streams.errors import ModelUnavailable
from tests.streams.classify.test_classify import Entrance, ask, asked_of
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
