from __future__ import annotations

import pytest

from refrain.schemas.policy import Guard
from tests.streams.guards.verdicts import refuses


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("from Paris to Rome", "from Rome to Paris"),
        ("Is tea better than milk?", "Is milk better than tea?"),
        ("convert CSV to JSON", "convert JSON to CSV"),
        ("dogs bite men", "men bite dogs"),
        ("Why do cats chase dogs?", "Why do dogs chase cats?"),
        ("a flight from Oslo", "a flight to Oslo"),
        ("lunch before sport", "sport before lunch"),
        ("a house boat", "a boat house"),
        ("How many euros is a dollar?", "How many dollars is a euro?"),
        ("Who owes money to Greece?", "Who does Greece owe money to?"),
        ("How do I get the index of an element?", "How do I get the element at an index?"),
        ("What is 7 - 3?", "What is 3 - 7?"),
        ("What is (3 + 4) * 2?", "What is 3 + 4 * 2?"),
        ("Is the cat on the mat?", "Is the mat on the cat?"),
        ("a red car with blue seats", "a blue car with red seats"),
    ],
)
def test_swapped_roles_are_refused(a: str, b: str) -> None:
    assert refuses(Guard.ORDER, a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("from Paris to Rome", "to Rome from Paris"),
        ("In Python, how do I sort a list?", "How do I sort a list in Python?"),
        ("difference between TCP and UDP", "difference between UDP and TCP"),
        ("tea vs coffee at night", "coffee vs tea at night"),
        ("A bike is being ridden by a man", "A man is riding a bike"),
        ("Is Python used by Google?", "Does Google use Python?"),
        ("the capital of France", "France's capital"),
        ("reset my password", "password reset"),
        ("What is 2 plus 2?", "What is 2 + 2?"),
        ("cats and dogs", "dogs and cats"),
        ("A ball which is green is rolling", "A green ball is rolling"),
    ],
)
def test_words_that_only_move_pass(a: str, b: str) -> None:
    assert not refuses(Guard.ORDER, a, b)
