"""Rules: what in a text's wording makes its answer depend on now or on who asks.

A question of a general kind (how do I, what should I, what happens if, what is a) has one answer for all, whatever it
names behind these words; the lists whose names begin with `surely` count there too. What is told beside a question,
such as since when something hurts, is its occasion and asks nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from refrain.streams.classify.dependence.patterns import Patterns
from refrain.streams.classify.dependence.wording import MARK, wording
from refrain.streams.guards.lexicon import digest

RULES = digest(Path(__file__).parent)
"""8 hex digits over the rules and their lists: part of the behaviour that a decision names."""
WORDS_MAX = 4
"""Pieces of evidence that are told."""

_HANDLED = Patterns("handled")
_HARMLESS = Patterns("harmless")
_GENERAL = Patterns("general")
_TECHNICAL = Patterns("technical")
_OPENERS = Patterns("openers")
_VOLATILE, _SURELY_VOLATILE = Patterns("volatile"), Patterns("surely_volatile")
_PERSONAL, _SURELY_PERSONAL = Patterns("personal"), Patterns("surely_personal")
_SENTENCE = re.compile(r"[^.?:]*[.?:] ")
_SAID = re.compile(r"(?:but |and |so |well )*(?:my|our|i|we) ")
_TOLD = re.compile(r"(?<![^ ])(?:i|my|we|our|he|his|she|her|they|their) ")


class Found(NamedTuple):
    """The words by which an answer depends on now and on who asks; empty where it does not."""

    volatile: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()


def find(text: str) -> Found:
    """Find what the answer to a question depends on; never raises."""
    own = _own(_opened(wording(text)))
    sentences = _SENTENCE.findall(own)
    asked = [_up_to_general(each) for each in sentences]
    general = asked != sentences
    personal = [each for each in asked if not (general and _SAID.match(each) and not _asks(each))]
    questions = general or any(map(_asks, sentences))
    volatile = [each for each in asked if _asks(each) or not (questions and _TOLD.search(each))]
    return Found(
        _some([*_words(_SURELY_VOLATILE, own), *_words(_VOLATILE, "".join(volatile))]),
        _some([*_words(_SURELY_PERSONAL, own), *_words(_PERSONAL, "".join(filter(_is_untechnical, personal)))]),
    )


def _own(said: str) -> str:
    """The asker's own wording: without the text that is to be handled, and without what only looks like a trigger."""
    handled = next(_HANDLED.search(said), None)
    if handled is not None:
        said = f"{said[: handled.start]}. "
    for match in reversed(list(_HARMLESS.search(said))):
        said = f"{said[: match.start]}{MARK} {said[match.end :]}"
    return said


def _opened(said: str) -> str:
    """Each sentence without the words that only open it: please, can you tell me."""
    return "".join(_without_opener(sentence) for sentence in _SENTENCE.findall(said))


def _without_opener(sentence: str) -> str:
    while (match := next(_OPENERS.search(sentence), None)) is not None and 0 < match.end < len(sentence) - 2:
        sentence = sentence[match.end :]
    return sentence


def _up_to_general(sentence: str) -> str:
    """A sentence up to where it becomes general."""
    match = next(_GENERAL.search(sentence), None)
    return sentence if match is None else f"{sentence[: match.start]}? "


def _asks(sentence: str) -> bool:
    return sentence.endswith("? ")


def _is_untechnical(sentence: str) -> bool:
    """Whether a sentence does not speak of programs, where an order sorts and an account is a row."""
    return next(_TECHNICAL.search(sentence), None) is None


def _words(patterns: Patterns, said: str) -> Iterable[str]:
    return (match.words for match in patterns.search(said))


def _some(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))[:WORDS_MAX]
