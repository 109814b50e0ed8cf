from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from refrain.streams.guards import read
from tests.streams.guards.verdicts import detect, refuses


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("turn on the light", "turn off the light"),
        ("enable the cache", "disable the cache"),
        ("Should I buy gold?", "Should I sell gold?"),
        ("before lunch", "after lunch"),
        ("Why is it working?", "Why isn't it working?"),
        ("with milk", "without milk"),
        ("I can come", "I can't come"),
        ("Is it legal?", "Is it illegal?"),
        ("Are you happy?", "Are you unhappy?"),
        ("minimum age", "maximum age"),
        ("the tallest tower", "the shortest tower"),
        ("ascending order", "descending order"),
        ("turn left", "turn right"),
        ("all users", "some users"),
        ("it always fails", "it never fails"),
        ("more than ten", "less than ten"),
        ("mount the disk", "unmount the disk"),
        ("Who won?", "Who lost?"),
        ("What causes hypertension?", "What causes hypotension?"),
        ("an overestimate", "an underestimate"),
        ("deactivate my account", "reactivate my account"),
    ],
)
def test_contraries_are_refused(a: str, b: str) -> None:
    assert refuses(Guard.NEGATION, a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Why isn't it open?", "Why is it not open?"),
        ("turn on the light", "switch on the light"),
        ("disable the cache", "turn off the cache"),
        ("I cannot come", "I can't come"),
        ("Am I unable to vote?", "Can I not vote?"),
        ("the biggest city", "the largest city"),
        ("before and after lunch", "after and before lunch"),
        ("Do cats always land?", "Do cats land all the time?"),
    ],
)
def test_what_denies_the_same_passes(a: str, b: str) -> None:
    assert not refuses(Guard.NEGATION, a, b)


def test_the_verdict_names_the_words_of_both_sides() -> None:
    (verdict,) = detect([Guard.NEGATION], read("How do I lock the door?"), read("How do I unlock the door?"))
    assert verdict.words == ("lock", "unlock")


def test_a_prefix_whose_contrary_both_name_decides_nothing() -> None:
    assert not refuses(Guard.NEGATION, "intranet or internet?", "the internet or an intranet?")
    assert not refuses(Guard.NEGATION, "deactivate or reactivate it", "Do I deactivate it?")


def test_a_contrary_that_both_name_decides_nothing() -> None:
    assert not refuses(Guard.NEGATION, "Is it hot or cold?", "Is it cold or hot?")
