"""Slips of the pen, and words that only look like them."""

from __future__ import annotations

import pytest

from refrain.streams.guards.lexicon import pairs, split_list
from refrain.streams.guards.misspellings import is_misspelt
from tests.streams.guards.verdicts import score

SLIPS = [
    ("unclog", "unclogg"),
    ("recommended", "recomended"),
    ("accommodation", "accomodation"),
    ("business", "buisness"),
    ("recieve", "receive"),
    ("separate", "seperate"),
    ("definition", "defenition"),
    ("restaurants", "restarants"),
    ("environment", "enviroment"),
    ("restaurants", "restaurents"),
    ("exercise", "exersise"),
    ("propagate", "propogate"),
    ("calendar", "calender"),
    ("lemon", "lemno"),
    ("clever", "celver"),
    ("recycle", "recyle"),
    ("mustard", "musard"),
    ("furniture", "furnuture"),
]
WORDS = [
    ("dessert", "desert"),
    ("casual", "causal"),
    ("hopping", "hoping"),
    ("discuss", "discus"),
    ("complement", "compliment"),
    ("medication", "meditation"),
    ("infection", "inflection"),
    ("contact", "contract"),
    ("methane", "methene"),
    ("form", "from"),
    ("nitrate", "nitrite"),
    ("hypotension", "hypertension"),
    ("affect", "effect"),
    ("house", "mouse"),
    ("item", "items"),
    ("adaptions", "adoptions"),
    ("confident", "confidant"),
    ("farming", "forming"),
    ("coast", "coats"),
    ("angel", "angle"),
    ("trial", "trail"),
    ("parking", "paring"),
    ("portion", "potion"),
    ("country", "county"),
    ("countries", "counties"),
    ("cartoon", "carton"),
    ("thorough", "through"),
    ("dinner", "diner"),
]


@pytest.mark.parametrize("pair", SLIPS)
def test_a_slip_is_taken_for_the_word(pair: tuple[str, str]) -> None:
    assert is_misspelt(*pair)
    assert is_misspelt(*reversed(pair))


@pytest.mark.parametrize("pair", WORDS)
def test_another_word_is_not(pair: tuple[str, str]) -> None:
    assert not is_misspelt(*pair)
    assert not is_misspelt(*reversed(pair))


@pytest.mark.parametrize("wrong", ["sytem", "systme"])
def test_a_short_word_that_people_misspell_is_read_as_it_is_meant(wrong: str) -> None:
    assert score("What is the solar system?", f"What is the solar {wrong}?", 0.97) == 0.97


def test_no_misspelt_word_is_read_two_ways_nor_as_a_misspelt_one() -> None:
    wrong = [word for _, slips in pairs("misspelt") for word in split_list(slips)]
    assert len(set(wrong)) == len(wrong)
    assert {right for right, _ in pairs("misspelt")}.isdisjoint(wrong)


def test_of_names_nothing_can_be_told() -> None:
    assert score("Who is Peter Andersson?", "Who is Peter Anderson?", 0.97) < 0.88
