"""Verdict of a guard: passed, refused or not applicable, with the words that decided."""

from __future__ import annotations

from typing import Literal, NamedTuple

from refrain.schemas.policy import Guard

WORDS_MAX = 6
"""Words that a verdict names."""
WORD_CHARS_MAX = 80
"""A longer word is cut in a verdict."""


class Verdict(NamedTuple):
    """Verdict of one guard on a question and a cached one. `words` occur, as they stand, in one of the two texts."""

    guard: Guard
    verdict: Literal["passed", "refused", "not_applicable"]
    words: tuple[str, ...] = ()


def passed(guard: Guard) -> Verdict:
    """Pass: nothing that this guard compares differs."""
    return Verdict(guard, "passed")


def refused(guard: Guard, *words: str) -> Verdict:
    """Refuse: the words differ in a way that may ask for another answer."""
    return Verdict(guard, "refused", tuple(word[:WORD_CHARS_MAX] for word in dict.fromkeys(words) if word)[:WORDS_MAX])


def not_applicable(guard: Guard) -> Verdict:
    """Not applicable: the guard's word lists are English, and a text is not."""
    return Verdict(guard, "not_applicable")
