"""Questions to the controller, few and short while it does not answer.

A client of librdkafka that waits for a controller tries to reach it again and again, which costs half a core for as
long as the question lasts. Workers ask many times which topic is there and what it takes, and can do without the answer
for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from refrain.streams.kafka.faults import SILENT_CODES

SHORT_S = 1.0
"""How long a question may last, once one was not answered."""
PAUSE_S = 4.0
PAUSE_MAX_S = 16.0
"""How long nothing is asked after a question that was not answered: twice as long each time, up to this."""
ALERT_S = 60.0
"""How long after one that was not answered each is aimed first, and short: what it goes to changes by itself."""


class Sparing:
    """Asks the controller, through whatever question it is given. `clock` gives seconds.

    `aim` has the client ask one that answers, and tells whether it does: it costs little, and is asked before a
    question only when one was not answered lately.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, aim: Callable[[], bool] = lambda: True) -> None:
        self._clock = clock
        self._aim = aim
        self._alert_until_s = float("-inf")
        self._pause_s = 0.0
        self._again_s = float("-inf")
        self._is_away = False

    def away(self) -> None:
        """Other questions are not answered either: this one waits for them, and is asked after the longest pause."""
        if not self._is_away:
            self._is_away = True
            self._again_s = self._clock() + PAUSE_MAX_S

    def back(self) -> None:
        """Another question is answered: where none was, a pause is over."""
        if self._is_away:
            self._is_away = False
            self._again_s = float("-inf")

    def ask(
        self, question: Callable[[float], Mapping[str, Future[Any]]], names: Iterable[str], timeout_s: float
    ) -> Mapping[str, Future[Any]]:
        """The answers to a question about these names; it is given how long it may wait (seconds), and waits for
        nothing here.

        In a pause each answer is at once that it was not given in time, as it would be in the end.
        """
        if self._clock() < self._again_s:
            return {name: _not_answered() for name in names}
        is_alert = self._clock() < self._alert_until_s
        if is_alert and not self._aim():
            self._not_before(PAUSE_S)
            return {name: _not_answered() for name in names}
        asked = question(min(timeout_s, SHORT_S) if is_alert else timeout_s)
        for future in asked.values():
            future.add_done_callback(self._heard)
        return asked

    def _heard(self, answer: Future[Any]) -> None:
        """Pause after one that was not answered. Any other answer, an error too, comes from a controller."""
        problem = None if answer.cancelled() else answer.exception()
        if isinstance(problem, KafkaException) and problem.args[0].code() in SILENT_CODES:
            self._pause_s = min(PAUSE_MAX_S, 2 * self._pause_s or PAUSE_S)
            self._not_before(self._pause_s)
        else:
            self._pause_s = 0.0

    def _not_before(self, pause_s: float) -> None:
        """Ask nothing for so long after one that was not answered, and aim for a while after."""
        now_s = self._clock()
        self._again_s, self._alert_until_s = now_s + pause_s, now_s + ALERT_S


def _not_answered() -> Future[Any]:
    answer: Future[Any] = Future()
    text = "the controller did not answer a moment ago, and is asked again in a few seconds"
    answer.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT, text)))
    return answer
