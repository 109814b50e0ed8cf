"""The exact form: what cannot change a meaning is evened out, and whatever could be code or quoted is kept."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from refrain.streams.classify.exact_form import exact_form

ASKED = "What is the capital of France?"


@pytest.mark.parametrize(
    "text",
    [
        "what is the capital of France",
        "What is the capital of France ?",
        "  What is  the capital\u00a0of France? ",
        "What is the capital of France?\r\n",
        "\nWhat is the capital of France?\n\n",
    ],
)
def test_spellings_of_one_question_have_one_form(text: str) -> None:
    assert exact_form(text) == exact_form(ASKED) == "what is the capital of France"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Où est l'école ?", "Ou\u0300 est l'e\u0301cole ?"),
        ("One line\r\nand another  \r\n", "One line\nand another"),
        ("Explain lists ", "Explain lists"),
        ("你好 世界", "你好\u3000世界"),
        ("x = 1\n", "x = 1"),
        ("```\ncode\n```\r\n", "```\ncode\n```"),
    ],
)
def test_what_means_the_same_is_the_same(first: str, second: str) -> None:
    assert exact_form(first) == exact_form(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Is the US big?", "Is the us big?"),
        ("WHO is there", "who is there"),
        ("Polish verbs", "polish verbs"),
        ("You did it.", "You did it?"),
        ("What a day", "What a day?"),
        ("How beautiful she is", "How beautiful she is?"),
        ("What is int?", "What is int??"),
        ("What is a?", "What is a"),
        ("What is C++", "What is C"),
        ("What is 2²", "What is 22"),
        ("What is ½", "What is 1/2"),
        ("What is ﬁ", "What is fi"),
        ("Translate: you did it", "Translate: you did it?"),
        ("Parse this: 1  2", "Parse this: 1 2"),
        ("How many spaces are in a  b", "How many spaces are in a b"),
        ("Wie viele Leerzeichen hat a  b", "Wie viele Leerzeichen hat a b"),
        ("Is this sentence right?", "is this sentence right?"),
        ('What does "a  b" mean', 'What does "a b" mean'),
        ("What does 'a  b' mean", "What does 'a b' mean"),
        ("What does `a  b` mean", "What does `a b` mean"),
        ("What does «a  b» mean", "What does «a b» mean"),
        ("if x:\n  y", "if x:\n y"),
        ("x\n  y", "x\ny"),
        ("a\tb", "a b"),
        ("one\ntwo", "one two"),
        ("10  20\n30  40", "10 20\n30 40"),
        ("Read https://a.b/c?", "Read https://a.b/c"),
        ("What is https://a.b/c?", "What is https://a.b/c"),
        ("def f(a):  return a", "def f(a): return a"),
        ("a = [1,  2]", "a = [1, 2]"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u062e\u0648"),
        ("👨\u200d👩", "👨👩"),
    ],
)
def test_what_may_mean_something_else_stays_apart(first: str, second: str) -> None:
    assert exact_form(first) != exact_form(second)


words = st.lists(
    st.sampled_from(
        ["What", "is", "the", "How many", "US", "us", "caf\u00e9", "cafe\u0301", "x", "42", "France", "it's", "you"]
    ),
    min_size=1,
    max_size=6,
)
blanks = st.sampled_from([" ", "  ", "\n", "\r\n", "\t", "\u00a0", "? ", "?", ". ", ": ", "! ", ""])
gaps = st.lists(blanks, min_size=6, max_size=6)
prose = st.tuples(words, gaps).map(lambda both: "".join(word + gap for word, gap in zip(*both, strict=False)))
anything = prose | st.text() | st.text(alphabet=" \r\n\tab?.:'`\"{}\u0301\u037e\u1fef\u212a\u0958É")
kept = st.sampled_from(
    ['"{}"', "`{}`", "```\n{}\n```", "\u201c{}\u201d", "'{}'", "\u00ab{}\u00bb", "https://{}", "{{{}}}"]
)


def signs(text: str) -> list[str]:
    """Letters and digits, the case of the very first letter aside."""
    found = [char for char in unicodedata.normalize("NFC", text) if char.isalnum()]
    return [found[0].lower(), *found[1:]] if found else []


@given(anything)
@example("\u1fef")
@example("a\u037e\r")
def test_the_form_of_a_form_is_itself(text: str) -> None:
    assert exact_form(exact_form(text)) == exact_form(text)


@given(anything)
def test_no_letter_or_digit_is_lost_or_changed(text: str) -> None:
    assert signs(exact_form(text)) == signs(text)


@pytest.mark.parametrize("about", ["white space", "WHITE SPACE", "Letters", "caf\u00e9 SPELLING", "\u017fpace"])
def test_what_may_be_about_its_own_spelling_is_kept_in_any_case(about: str) -> None:
    text = f"What is the {about} of this?"
    assert exact_form(text) == text


def test_a_long_text_is_kept_as_it_is() -> None:
    text = "What is it? " * 700 + "\n"
    assert exact_form(text) == text
    assert exact_form(text[:7_000]) == "w" + text[1:7_000].rstrip()


@given(prose, prose)
def test_texts_that_differ_in_a_letter_or_digit_never_meet(first: str, second: str) -> None:
    assume(signs(first) != signs(second))
    assert exact_form(first) != exact_form(second)


@given(prose, kept, st.text(min_size=1), prose)
def test_code_and_quotes_survive_byte_for_byte(before: str, frame: str, inside: str, behind: str) -> None:
    span = frame.format(inside)
    assert span in exact_form(f"{before} {span} {behind}")


@given(st.text())
def test_what_holds_code_or_quotes_loses_nothing_but_line_ends_around_it(text: str) -> None:
    whole = text + "`"
    assert exact_form(whole) == whole.lstrip("\r\n") or exact_form(whole) == whole


@given(prose, st.sampled_from([" ", "\r\n", "\n"]))
def test_blanks_behind_prose_never_count(text: str, more: str) -> None:
    assume(text.strip() and "\t" not in text)
    assert exact_form(text + more) == exact_form(text)
