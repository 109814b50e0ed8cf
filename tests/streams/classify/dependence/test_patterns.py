"""Patterns are found from left to right, by whole words, within a sentence, and the first line wins."""

from __future__ import annotations

from refrain.streams.classify.dependence.patterns import opening, patterns, search
from refrain.streams.classify.dependence.wording import wording, words_of


def found(name: str, text: str) -> list[str]:
    return [match.words for match in search(patterns(name), wording(words_of(text)))]


def test_matches_come_from_left_to_right_and_do_not_overlap() -> None:
    assert found("volatile", "Is tonight the latest news of today?") == ["tonight", "latest", "news of", "today"]
    # `latest score` also stands in a line behind, and has lost its first word.
    assert found("volatile", "the latest score") == ["latest"]


def test_where_several_lines_begin_the_first_one_is_found() -> None:
    # `right|just now` stands before `now $` and `open|... now`, and takes the word.
    assert found("volatile", "Is it cheap right now?") == ["right now"]


def test_a_word_is_found_whole() -> None:
    assert found("volatile", "Are nowhere, todays-paper and latestness words?") == []
    assert found("technical", "A pythonic description of sqlite3ish apis") == []


def test_what_opens_a_sentence_is_found_there_alone() -> None:
    assert found("volatile", "Weather in Oslo") == ["weather in"]
    assert found("volatile", "Yes. Weather in Oslo") == ["weather in"]
    assert "weather in" not in found("volatile", "Does weather in Oslo matter?")


def test_no_match_goes_beyond_a_sentence() -> None:
    assert found("personal", "My friend came. The balance is low.") == []
    assert found("personal", "My low balance") == ["my balance"]


def test_an_opening_ends_behind_its_words() -> None:
    openers = patterns("openers")
    said = wording(words_of("Please tell me about trains"))
    assert said[opening(openers, said) :].startswith("tell me")
    assert opening(openers, wording(words_of("Trains, please"))) == 0
