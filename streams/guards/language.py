"""Whether a text is English: by its letters and its little words, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

from streams.guards.items import Item
from streams.guards.tokens import folded
from streams.guards.words import words

LATIN_SHARE = 0.9
"""Of the letters of an English text, so many are a to z."""

_ENGLISH = words("function_words") | words("general_words")
_FOREIGN = frozenset(map(folded, words("foreign")))


def is_english(items: Sequence[Item]) -> bool:
    """Whether the words read as English; a text of no words has no language, and counts as English."""
    lows = [item.low for item in items if item.kind == "word"]
    letters = sum(map(len, lows))
    plain = sum(len(low) if low.isascii() else sum(map(str.isascii, low)) for low in lows)
    if plain < LATIN_SHARE * letters:
        return False
    foreign = sum(low in _FOREIGN and low not in _ENGLISH for low in lows)
    return foreign == 0 or foreign < sum(low in _ENGLISH and low not in _FOREIGN for low in lows)
