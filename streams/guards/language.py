"""Language detection: whether a text is English, by its letters and its little words, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

from refrain.streams.guards.items import Item
from refrain.streams.guards.lexicon import words
from refrain.streams.guards.tokens import folded

LATIN_SHARE = 0.9
"""Of the letters of an English text, so many are a to z."""

_ENGLISH = words("function_words") | words("general_words")
_FOREIGN = frozenset(map(folded, words("foreign")))
_FOREIGN_ONLY, _ENGLISH_ONLY = _FOREIGN - _ENGLISH, _ENGLISH - _FOREIGN


def is_english(items: Sequence[Item]) -> bool:
    """Whether the words read as English; a text of no words has no language, and counts as English."""
    lows = [item.low for item in items if item.kind == "word"]
    foreign = sum(1 for low in lows if low in _FOREIGN_ONLY)
    if foreign and foreign >= sum(1 for low in lows if low in _ENGLISH_ONLY):
        return False
    strange = [low for low in lows if not low.isascii()]
    return not strange or sum(map(_strange_letters, strange)) <= (1 - LATIN_SHARE) * sum(map(len, lows))


def _strange_letters(low: str) -> int:
    return sum(1 for letter in low if not letter.isascii())
