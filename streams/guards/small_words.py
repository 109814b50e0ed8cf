"""All words of a text for the guard `words`: harmless ones left out, openings that ask the same as one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from refrain.streams.guards.content_words import FUNCTION
from refrain.streams.guards.items import WORDLY, Item
from refrain.streams.guards.lexicon import Phrases, groups, pairs, words
from refrain.streams.guards.roles import SYMMETRIC

_HARMLESS = words("harmless")
_SAME = {word: line[0] for line in groups("same_words") for word in line}
_CASED = words("cased")
_ANEW = words("anew")
_REQUESTS = words("requests") | words("instructions")
_GIVING = _REQUESTS | {"any", "some"}
_ALONE = frozenset("again anew another instead redo retry regenerate".split())
"""Words that ask anew at the end of a text, or as its first."""
_BEFORE_ELSE = frozenset("what who where how when which anything something anyone someone nobody nothing".split())
_BETWEEN = frozenset("me us some a few one two three the an many please".split())
"""Words that may stand between "give" and "more"."""
JOINING = frozenset(("and", "or", "vs", "versus", "/"))
"""Words that join two of which the order says nothing."""
_MARKS = frozenset(("stop", "quote", "bracket", "sign"))
_CAN = "can could do would should might shall".split()
_I = "i you we one someone somebody".split()


class Word(NamedTuple):
    """Word of a text as it is compared: its `key` (a stem; of little words the word), and what it is matched by."""

    key: str
    groups: frozenset[int]
    text: str
    content: bool


class SmallWords(NamedTuple):
    """All words of a text in their order, but for numbers, and what else of it is compared in a frame."""

    words: tuple[Word, ...]
    counted: Counter[str]
    content: tuple[str, ...]
    """Keys of the words that are no little words, in the order of the alphabet."""
    signs: tuple[str, ...]
    cased: dict[str, tuple[str, ...]]
    """How words are written that mean something else with capitals; those that open a sentence left out."""
    lowered: bool
    """Whether no letter is a capital: its writer uses none."""
    anew: str
    """The word by which the text asks for another answer than the one that was given."""
    request: bool
    """Whether a verb opens the text that asks for something to be done."""
    symmetric: bool
    """Whether it compares things, whose order says nothing."""


def _openers() -> Iterator[tuple[list[str], tuple[str, ...]]]:
    for left, right in pairs("openers"):
        for can in _CAN if "{can}" in left else [""]:
            for i in _I if "{i}" in left else [""]:
                yield left.replace("{can}", can).replace("{i}", i).split(), tuple(right.split())


_OPENERS = Phrases(_openers())


def read_small_words(items: Sequence[Item], used: frozenset[int], text: str) -> SmallWords:
    """Extract all words of a text; `used` are items that are parts of numbers."""
    found = tuple(_words([item for at, item in enumerate(items) if at not in used]))
    cased: dict[str, tuple[str, ...]] = {}
    for item in items:
        if item.low in _CASED and not item.initial and item.text.lower() == item.low:
            cased[item.low] = (*cased.get(item.low, ()), item.text)
    return SmallWords(
        found,
        Counter(word.key for word in found),
        tuple(sorted(word.key for word in found if word.content)),
        tuple(sorted(item.text for item in items if _is_sign(item))),
        cased,
        text == text.lower(),
        _anew(items),
        bool(items) and items[0].low in _REQUESTS,
        any(item.low in SYMMETRIC for item in items),
    )


def _words(items: Sequence[Item]) -> Iterator[Word]:
    lows = [item.low for item in items]
    at = 0
    while at < len(items):
        item = items[at]
        end, meant = next(_OPENERS.at(lows, at), (at + 1, None)) if item.kind == "word" else (at + 1, None)
        if meant is not None:
            yield from (Word(key, frozenset(), item.text, False) for key in meant)
        elif _counts(item):
            yield _word(item)
        at = end


def _word(item: Item) -> Word:
    function = item.low in FUNCTION or item.low in _SAME or item.low in JOINING
    key = item.low if function else item.stem
    return Word(_SAME.get(key, key), frozenset() if function else item.groups, item.text, not function)


def _counts(item: Item) -> bool:
    return item.kind not in _MARKS and item.low not in _HARMLESS


def _is_sign(item: Item) -> bool:
    """Whether it is a symbol (mathematics, currency) rather than a mark."""
    return item.kind == "sign" and unicodedata.category(item.text[0])[0] == "S"


def _anew(items: Sequence[Item]) -> str:
    for at, item in enumerate(items):
        if item.kind not in WORDLY or item.low not in _ANEW:
            continue
        edge = at == 0 or at + 1 == len(items) or items[at + 1].kind == "stop"
        before = [other.low for other in items[:at]]
        if item.low == "else":
            if before and before[-1] in _BEFORE_ELSE:
                return item.text
        elif (item.low in _ALONE and edge) or _given(before):
            return item.text
    return ""


def _given(before: Sequence[str]) -> bool:
    """Whether what stands before is "give me some"."""
    low = next((low for low in reversed(before) if low not in _BETWEEN), "")
    return low in _GIVING
