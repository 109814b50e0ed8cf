"""What is told of records lost, answered twice or not read, and of good questions that are answered wrongly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from refrain.streams.settings import Settings
from tests.attack.attack import Attack, Sent, accounts, carry_out
from tests.attack.calm import CalmFigures, CalmStream
from tests.attack.places import Place
from tests.attack.target import Target
from tests.attack.workers import Workers

REQUEST, FORWARD = Place("requests", 0, 7), Place("forwards", 0, 7)


class Ledger:
    def __init__(self, aside: Sequence[Place], taken: Sequence[Place]) -> None:
        self.aside, self.taken = Counter(aside), Counter(taken)

    def read(self) -> None:
        pass

    def read_through(self) -> None:
        return


class FakeTarget:
    settings = Settings()
    wait_s = 0.0

    def __init__(self, aside: Sequence[Place] = (), taken: Sequence[Place] = (), unread: str = "") -> None:
        self.ledger = Ledger(aside, taken)
        self._unread = unread

    def is_read(self, places: Sequence[Place]) -> bool:
        return places[0].topic != self._unread

    def eventually(self, holds: Callable[[], bool]) -> bool:
        return holds()


def told(sent: Sent, target: FakeTarget) -> list[str]:
    return accounts(cast(Target, target), sent)


@pytest.mark.parametrize(("aside", "taken"), [([REQUEST], []), ([], [REQUEST])])
def test_a_request_that_is_answered_or_set_aside_once_is_in_order(aside: list[Place], taken: list[Place]) -> None:
    assert told(Sent([REQUEST]), FakeTarget(aside, taken)) == []


def test_a_request_of_which_nothing_is_heard_is_lost() -> None:
    (problem,) = told(Sent([REQUEST]), FakeTarget())
    assert "neither answered nor set aside: requests[0]@7" in problem


def test_a_request_that_is_both_answered_and_set_aside_is_told() -> None:
    (problem,) = told(Sent([REQUEST]), FakeTarget([REQUEST], [REQUEST]))
    assert "more than once" in problem


def test_what_can_be_taken_elsewhere_need_not_be_set_aside_and_what_cannot_must() -> None:
    assert told(Sent([FORWARD]), FakeTarget()) == []
    assert told(Sent([FORWARD], asides=True), FakeTarget()) != []
    assert told(Sent([FORWARD]), FakeTarget([FORWARD, FORWARD])) != []


def test_a_topic_that_is_not_read_to_the_end_is_named() -> None:
    assert told(Sent([FORWARD]), FakeTarget(unread="forwards")) == ["not read to the end: forwards"]


@pytest.mark.parametrize(
    ("calm", "restarts", "problem"),
    [
        (CalmFigures(9, 9, 0, 1.0, 2.0), 0, None),
        (CalmFigures(9, 8, 0, 1.0, 2.0), 0, "1 good questions were not answered"),
        (CalmFigures(9, 9, 2, 1.0, 2.0), 0, "2 good questions were answered with an error or another answer"),
        (CalmFigures(9, 9, 0, 1.0, 2.0), 3, "3 workers were started again"),
    ],
)
def test_an_attack_holds_when_good_questions_are_answered_and_no_worker_ends(
    calm: CalmFigures, restarts: int, problem: str | None
) -> None:
    workers: Any = SimpleNamespace(known=True, restarts=0, memory_mb=lambda: 1)
    workers.look = lambda: setattr(workers, "restarts", restarts)
    stream: Any = SimpleNamespace(mark=lambda: 0, figures=lambda start, wait_s: calm)
    attack = Attack("a", "forwards", "lookup", lambda target, size: Sent([FORWARD]))
    target = cast(Target, FakeTarget())
    row = carry_out(attack, target, cast(CalmStream, stream), cast(Workers, workers), 1.0, 1.0)
    assert row.problems == (() if problem is None else (problem,))
    assert row.held == (problem is None)
    assert row.p99_ratio == 2.0
