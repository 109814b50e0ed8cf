"""Expressions of policies: found like Python's `re` finds them, refused by name where they need more than RE2 has."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refrain.schemas.policy import Policy
from refrain.streams.linear_pattern import LinearPattern, NotLinear, linear_or_none, pattern_flaws

PIECES = (
    "a", "B", "é", "ß", "7", "٣", "_", "-", " ", r"\.", ".", r"\w", r"\W", r"\d", r"\D", r"\s", r"\S",
    "[ab]", "[^ab]", r"[\w-]", r"[^\d]", r"[\s,]", "[]a]", "[^]a]", "[$]", "[{,2}]",
    "(?:ab|c)", "(a)", "a?", r"\w+", r"\d*?", "a{2}", "a{1,2}", "a{,2}", "{,x", "^", "$", r"\A", r"\Z", r"\$", r"\\",
)  # fmt: skip
TEXTS = st.text(st.sampled_from("aAbBcéÉßsß7٣_- .,\n\t\u00a0\u2028$\\{x]"), max_size=12)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6), st.sampled_from(["", "(?i)", "(?m)", "(?s)"]), TEXTS)
@example([r"a", "$"], "", "a\n")
@example([r"a", "$"], "(?m)", "a\nb")
@example(["[]a]"], "", "]")
def test_a_pattern_is_found_as_by_re(pieces: list[str], flags: str, text: str) -> None:
    pattern = flags + "".join(pieces)
    assert LinearPattern(pattern).is_in(text) is (re.search(pattern, text) is not None)


WHOLE = [piece for piece in PIECES if piece not in ("$", r"\d*?")]
"""Without those whose ends differ: a last line feed is taken with its end, and what may be empty is found once."""


@given(st.lists(st.sampled_from(WHOLE), min_size=1, max_size=4), TEXTS)
def test_the_spans_are_those_of_re_counted_in_characters(pieces: list[str], text: str) -> None:
    pattern = "".join(pieces)
    wanted = [match.span() for match in re.finditer(pattern, text) if match.end() > match.start()]
    assert list(LinearPattern(pattern).spans(text)) == wanted


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"a(?!b)", "look-around"),
        (r"(?<=a)b", "look-around"),
        (r"(a)\1", "back-reference"),
        (r"a{2000}", "too large"),
        ("a" * 4_001, "4001 characters"),
        (r"\bärztlich", r"\b and letters outside of ASCII"),
        (r"[\W\d]", r"\W inside brackets"),
        (r"[[:alpha:]]", "[: inside brackets"),
        ("\ud800", "surrogate"),
    ],
)
def test_what_re2_lacks_is_refused_by_name(pattern: str, said: str) -> None:
    with pytest.raises(NotLinear, match=re.escape(said)):
        LinearPattern(pattern)
    assert linear_or_none(pattern) is None


def test_halves_of_surrogate_pairs_are_searched_like_other_text() -> None:
    assert LinearPattern("patient").is_in("\ud800 a patient")
    assert list(LinearPattern(r"\d+").spans("\ud800é 12")) == [(3, 5)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", [r"^(\w+\s?)*:$", r"(a+)+$", r"(a|aa)+$", r"(.*)*x", r"(\w*)*\d"])
def test_no_expression_takes_more_than_linear_time(pattern: str) -> None:
    """Python's `re` does not come back from any of these."""
    assert not LinearPattern(pattern).is_in("a" * 20_000 + " b!" * 20_000)


def test_every_expression_that_is_not_taken_is_named_by_its_place() -> None:
    policy = Policy.model_validate(
        {
            "categories": {"code": {"mask": [r"\d+", r"(?=x)"]}},
            "rules": [
                {"when": {"pattern": "fine"}, "category": "code"},
                {"when": {"pattern": "a(?!b)"}, "category": "code"},
            ],
        }
    )
    assert [flaw.place for flaw in pattern_flaws(policy)] == [
        ("categories", "code", "mask", 1),
        ("rules", 1, "when", "pattern"),
    ]
