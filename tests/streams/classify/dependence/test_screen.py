"""The screen names every pattern that matches, so that searching the others is spared and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.classify.dependence.patterns import patterns, search
from refrain.streams.classify.dependence.screen import Screen
from refrain.streams.classify.dependence.wording import wording, words_of
from tests.tables import table

FOLDER = Path(__file__).parent
NAMES = (
    "volatile",
    "surely_volatile",
    "personal",
    "surely_personal",
    "openers",
    "handled",
    "harmless",
    "general",
    "technical",
)
SCREEN = Screen(*NAMES)
LISTS = {name: patterns(name) for name in NAMES}
OWN_WORDS = sorted({word for of in LISTS.values() for each in of for words in each.needs for word in words})


def lost(words: list[str]) -> list[str]:
    """The lists of which a match is lost to the screen."""
    said, candidates = wording(words), SCREEN.candidates(words)
    return [name for name in NAMES if [*search(LISTS[name], said)] != [*search(candidates.get(name, ()), said)]]


@pytest.mark.parametrize("name", ["sentences", "held_out"])
def test_no_match_in_a_sentence_is_lost(name: str) -> None:
    lists: dict[str, list[str]] = table(FOLDER / f"{name}.yaml")
    texts = [text for of in lists.values() for text in of]
    assert [text for text in texts if lost(words_of(text))] == []


@given(st.lists(st.sampled_from([*OWN_WORDS, ".", "?", ":"]), max_size=30))
def test_no_match_in_words_of_the_lists_is_lost(words: list[str]) -> None:
    assert lost(words) == []


def test_a_text_without_the_words_of_a_pattern_is_spared_the_search() -> None:
    assert SCREEN.candidates(words_of("Does granite outlast marble?")) == {}


def test_a_pattern_is_a_candidate_once_each_of_its_words_is_there() -> None:
    assert "personal" not in Screen("personal").candidates(words_of("my granite"))
    assert "personal" in Screen("personal").candidates(words_of("my balance"))


def test_candidates_keep_the_order_of_their_lines() -> None:
    found = Screen("volatile").candidates(OWN_WORDS)["volatile"]
    assert tuple(found) == LISTS["volatile"] == tuple(sorted(LISTS["volatile"], key=lambda each: each.number))
