"""Questions to a controller that does not answer: short, and fewer and fewer, until it does."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from itertools import pairwise
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from refrain.streams.kafka.sparing import ALERT_S, PAUSE_MAX_S, PAUSE_S, SHORT_S, Sparing

LONG_S = 5.0


class Controller:
    """Answers at once, as it is told, and knows how long each question would have waited."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.error: KafkaError | None = None
        self.waits_s: list[float] = []
        self.aims = True
        self.sparing = Sparing(lambda: self.now_s, lambda: self.aims)

    def question(self, within_s: float) -> Mapping[str, Future[Any]]:
        self.waits_s.append(within_s)
        answer: Future[Any] = Future()
        if self.error is None:
            answer.set_result("described")
        else:
            answer.set_exception(KafkaException(self.error))
        return {"p.things": answer}

    def ask(self) -> Any:
        return self.sparing.ask(self.question, ["p.things"], LONG_S)["p.things"].result(0)


def silent() -> Controller:
    found = Controller()
    found.error = KafkaError(KafkaError._TIMED_OUT)
    with pytest.raises(KafkaException):
        found.ask()
    return found


def test_one_that_answers_is_asked_each_time() -> None:
    controller = Controller()
    assert [controller.ask() for _ in range(3)] == ["described"] * 3
    assert controller.waits_s == [LONG_S] * 3


def test_in_a_pause_nothing_is_asked_and_the_answer_is_that_it_came_too_late() -> None:
    controller = silent()
    with pytest.raises(KafkaException) as told:
        controller.ask()
    assert told.value.args[0].code() == KafkaError._TIMED_OUT
    assert len(controller.waits_s) == 1


def test_while_it_is_silent_it_is_asked_shortly_and_more_and_more_seldom() -> None:
    controller, asked_s = silent(), [0.0]
    for controller.now_s in [tenth / 10 for tenth in range(1, 1_200)]:
        before = len(controller.waits_s)
        with pytest.raises(KafkaException):
            controller.ask()
        if len(controller.waits_s) > before:
            asked_s.append(controller.now_s)
    pauses = [after - before for before, after in pairwise(asked_s)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(PAUSE_S)
    assert pauses[-1] == pytest.approx(PAUSE_MAX_S)
    assert set(controller.waits_s[1:]) == {SHORT_S}


def test_once_it_answers_it_is_asked_as_before() -> None:
    controller = silent()
    controller.now_s += PAUSE_MAX_S
    controller.error = None
    assert [controller.ask() for _ in range(2)] == ["described"] * 2
    assert controller.waits_s[1:] == [SHORT_S] * 2, "for a while it may be silent again"
    controller.now_s += ALERT_S
    assert controller.ask() == "described"
    assert controller.waits_s[3:] == [LONG_S]


def test_one_that_was_silent_is_asked_only_where_the_question_goes_to_one_that_answers() -> None:
    controller = silent()
    controller.aims, controller.error = False, None
    for _ in range(20):
        controller.now_s += PAUSE_S
        with pytest.raises(KafkaException) as told:
            controller.ask()
        assert told.value.args[0].code() == KafkaError._TIMED_OUT
    assert len(controller.waits_s) == 1
    controller.aims = True
    controller.now_s += PAUSE_S
    assert controller.ask() == "described"


def test_an_error_of_the_controller_is_an_answer() -> None:
    controller = silent()
    controller.now_s += PAUSE_MAX_S
    controller.error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    for _ in range(2):
        with pytest.raises(KafkaException) as told:
            controller.ask()
        assert told.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert len(controller.waits_s) == 3


def test_when_the_cluster_is_back_a_pause_is_over() -> None:
    controller = silent()
    controller.sparing.away()
    controller.error = None
    controller.sparing.back()
    assert controller.ask() == "described"


def test_that_others_answer_while_the_controller_does_not_ends_no_pause() -> None:
    controller = silent()
    controller.error = None
    controller.sparing.back()
    with pytest.raises(KafkaException):
        controller.ask()


def test_while_others_are_not_answered_either_it_is_asked_after_the_longest_pause() -> None:
    controller = Controller()
    controller.sparing.away()
    for _ in range(3):
        with pytest.raises(KafkaException):
            controller.ask()
        controller.now_s += PAUSE_MAX_S / 4
        controller.sparing.away()
    controller.now_s += PAUSE_MAX_S / 4
    assert controller.ask() == "described"
