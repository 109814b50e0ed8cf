"""A piece of a text is worded by itself and by where it stands, however often it was met before."""

from __future__ import annotations

import pytest

from refrain.streams.classify.dependence.wording import CHARS_MAX, PIECE_CHARS_MAX, wording, words_of


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("What's my balance?", "what is my balance ? "),
        ("the Today show, today", "the \u00b7 show today . "),
        ("Today show Today", "today show \u00b7 . "),
        ("THE TODAY SHOW", "the today show . "),
        ("The Today Show", "the today show . "),
        ("Fine. Today is Monday", "fine . today is monday . "),
        ("this week/next week", "this week next week . "),
        ("one\n\ntwo\nthree", "one . two three . "),
        ("say `now()` and \u201ctoday\u201d", "say \u00b7 and \u00b7 . "),
        ("don't, can't, won't", "do not can not will not . "),
        ("Really?? Yes...", "really ? yes . "),
        (
            "3\u70b9\u7684\u8a02\u55ae\uff0c\u5230\u4e86\uff1fOK\u3002\u884c",
            "3 \u70b9 \u7684 \u8ba2 \u5355 \u5230 \u4e86 ? ok . \u884c . ",
        ),
        ("\u8c01\u5199\u4e86\u300a\u4eca\u5929\u300b\uff1f", "\u8c01 \u5199 \u4e86 \u00b7 ? "),
        ("?", ""),
        ("", ""),
    ],
)
def test_words_stand_in_small_letters_with_marks_behind_sentences(text: str, said: str) -> None:
    assert [wording(words_of(text)) for _ in range(2)] == [said, said]


def test_a_piece_too_long_to_be_remembered_is_worded_alike() -> None:
    long = "a" * PIECE_CHARS_MAX
    assert words_of(f"{long}a? {long}") == [f"{long}a", "?", long, "."]


def test_of_a_long_text_both_ends_are_read() -> None:
    words = words_of("begin " + "x " * CHARS_MAX + "end")
    assert (words[0], words[-2:]) == ("begin", ["end", "."])
    assert len(words) <= CHARS_MAX + 4


def test_a_quotation_that_never_ends_quotes_nothing() -> None:
    assert words_of("'tis my order") == ["tis", "my", "order", "."]
    assert words_of("the 'first of my orders isn't here") == "the first of my orders is not here .".split()
