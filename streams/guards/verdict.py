"""Verdict of a guard: passed, weighed, refused or not applicable, with the words that decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from refrain.schemas.policy import Guard

WORDS_MAX = 6
"""Words that a verdict names."""
WORD_CHARS_MAX = 80
"""A longer word is cut in a verdict."""


class Verdict(NamedTuple):
    """Verdict of one guard on a question and a cached one. `words` occur, as they stand, in one of the two texts."""

    guard: Guard
    verdict: Literal["passed", "weighed", "refused", "not_applicable"]
    words: tuple[str, ...] = ()
    weight: int = 0
    """What a difference that is weighed takes off the similarity, in millionths; 0: it does not count here."""


_PASSED = {guard: Verdict(guard, "passed") for guard in Guard}


def passed(guard: Guard) -> Verdict:
    """Pass: nothing that this guard compares differs."""
    return _PASSED[guard]


def refused(guard: Guard, *words: str) -> Verdict:
    """Refuse: the words differ in a way that may ask for another answer."""
    return Verdict(guard, "refused", _told(words))


def weighed(guard: Guard, weight: int, words: Sequence[str]) -> Verdict:
    """Weigh: the words differ, in texts that are worded too differently for it to decide."""
    return Verdict(guard, "weighed", _told(words), weight)


def not_applicable(guard: Guard) -> Verdict:
    """Not applicable: the guard's word lists are English, and a text is not."""
    return Verdict(guard, "not_applicable")


def _told(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word[:WORD_CHARS_MAX] for word in dict.fromkeys(words) if word)[:WORDS_MAX]
