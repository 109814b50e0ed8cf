"""Language detection: whether a text is English, and which other language it is in, the same on every machine."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from refrain.streams.guards.items import Item
from refrain.streams.guards.lexicon import pairs, split_list, words
from refrain.streams.guards.tokens import folded

LATIN_SHARE = 0.9
"""Of the letters of an English text, so many are a to z."""
ENGLISH = "en"

_ENGLISH = words("function_words") | words("general_words")
_BY_WORD: dict[str, list[str]] = {}
for _name, _line in pairs("foreign"):
    for _word in split_list(_line):
        _BY_WORD.setdefault(folded(_word), []).append(_name)
_FOREIGN_ONLY, _ENGLISH_ONLY = _BY_WORD.keys() - _ENGLISH, _ENGLISH - _BY_WORD.keys()


def is_english(items: Sequence[Item]) -> bool:
    """Whether the words read as English; a text of no words has no language, and counts as English."""
    lows = [item.low for item in items if item.kind == "word"]
    foreign = sum(1 for low in lows if low in _FOREIGN_ONLY)
    if foreign and foreign >= sum(1 for low in lows if low in _ENGLISH_ONLY):
        return False
    strange = [low for low in lows if not low.isascii()]
    return not strange or sum(map(_strange_letters, strange)) <= (1 - LATIN_SHARE) * sum(map(len, lows))


def language(items: Sequence[Item], english: bool) -> str:
    """Language of a text: a code (en, de, fr ...), the name of its script (CJK, CYRILLIC ...), "" when unknown.

    Of languages with as many little words in the text, the one that is listed first.
    """
    if english:
        return ENGLISH
    lows = [item.low for item in items if item.kind == "word"]
    scripts = Counter(script for low in lows for letter in low if (script := _script(letter)) != "LATIN")
    if 2 * scripts.total() > sum(map(len, lows)):
        return scripts.most_common(1)[0][0]
    named = Counter(name for low in lows for name in _BY_WORD.get(low, ()))
    return max(named, key=lambda name: named[name]) if named else ""


def _strange_letters(low: str) -> int:
    return sum(1 for letter in low if not letter.isascii())


def _script(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "LATIN").split(" ")[0]
