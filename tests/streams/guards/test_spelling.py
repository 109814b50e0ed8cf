"""Texts as they are embedded: slips of common words put right, and nothing else touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.guards.spelling import put_right
from tests.streams.guards.verdicts import LEAST, score


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("How do I recieve money?", "How do I receive money?"),
        ("waht causes thunder", "what causes thunder"),
        ("Wehre do I laern to swim?", "Where do I learn to swim?"),
        ("What is a weding vaccine?", "What is a wedding vaccine?"),
        ("can u help me pls", "can you help me please"),
        ("My pasword, again.", "My password, again."),
    ],
)
def test_slips_of_common_words_are_put_right(typed: str, meant: str) -> None:
    assert put_right(typed) == meant


@pytest.mark.parametrize(
    "text",
    [
        "What is a trial?",
        "Who won the U.S. Open?",
        "What is U in physics?",
        "Why does teh_value fail?",
        "Mail it to me@recieve.com",
        "What does `recieve` do?",
        "What does 'recieve' mean?",
        'Is "fourty" a word?',
        "How do you spell recieve?",
        "How is fourty written correctly?",
        "WAHT IS IT",
        "quelle est l'adress",
        "ÄÖÜ İ",
        "",
    ],
)
def test_what_may_be_meant_is_left_as_it_stands(text: str) -> None:
    assert put_right(text) == text


@given(st.text(max_size=200))
def test_what_is_put_right_stays_so(text: str) -> None:
    assert put_right(put_right(text)) == put_right(text)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I write a letter?", "How do I wirte a leter?"),
        ("What causes hail?", "What cuases hail?"),
        ("What is the simplest knot?", "What is the most simple knot?"),
        ("What is 2.50 times 3?", "What is 2.5 times 3?"),
        ("How fast is 20 km/h?", "How fast is 20 kilometres per hour?"),
        ("How many people live in Norway?", "What is the population of Norway?"),
        ("Can iron rust?", "Does iron rust?"),
        ("How much is a stamp?", "How much does a stamp cost?"),
    ],
)
def test_guards_read_what_is_written_otherwise_as_the_same(a: str, b: str) -> None:
    assert score(a, b, 0.97) >= LEAST
