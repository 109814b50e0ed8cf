"""Language detection: whether a text is English, and which other language it is in, the same on every machine."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict

from refrain.streams.guards.item import Said
from refrain.streams.guards.lexicon import pairs, split_list, words
from refrain.streams.guards.tokens import folded

LATIN_SHARE = 0.9
"""Of the letters of an English text, so many are a to z."""
ENGLISH, LATIN = "en", "LATIN"
_IM = "im"
"""A word of German that is read as "I am"."""
_ENGLISH_ALONE = frozenset((ENGLISH,))

_ENGLISH = words("function_words") | words("general_words")
_FOREIGN = frozenset(folded(word) for _, line in pairs("foreign") for word in split_list(line))
_FOREIGN_ONLY, _ENGLISH_ONLY = _FOREIGN - _ENGLISH, _ENGLISH - _FOREIGN
_ANY: dict[str, set[str]] = defaultdict(set)
for _name, _line in (*pairs("foreign"), *pairs("foreign_more")):
    for _word in split_list(_line):
        _ANY[folded(_word)].add(_name)


def is_english(said: Said) -> bool:
    """Whether the words read as English; a text of no words has no language, and counts as English."""
    if _FOREIGN_ONLY.isdisjoint(said.lows) and "".join(said.lows).isascii():
        return True
    lows = [item.low for item in said.items if item.kind == "word" and item.text.lower() != _IM]
    acronyms = {item.low for item in said.items if item.text.isupper() and len(item.low) > 1}
    if said.items and all(item.text.isupper() for item in said.items if item.kind == "word"):
        acronyms = set()
    foreign = sum(1 for low in lows if low in _FOREIGN_ONLY and low not in acronyms)
    if foreign and foreign >= sum(1 for low in lows if low in _ENGLISH_ONLY):
        return False
    letters = "".join(lows)
    return letters.isascii() or _strange_letters(letters) <= (1 - LATIN_SHARE) * len(letters)


def languages(said: Said, english: bool) -> frozenset[str]:
    """Languages that a text may be in: codes (en, de, fr ...), or the name of its script (CJK, CYRILLIC ...).

    More than one where as many little words speak for each; none where no word does.
    """
    if english:
        return _ENGLISH_ALONE
    lows = [item.low for item in said.items if item.kind == "word"]
    scripts = Counter(script for low in lows for letter in low if (script := _script(letter)) != LATIN)
    if 2 * scripts.total() > sum(map(len, lows)):
        return frozenset((scripts.most_common(1)[0][0],))
    named = Counter(name for low in lows for name in _ANY.get(low, ()))
    most = max(named.values(), default=0)
    return frozenset(name for name, count in named.items() if count == most)


def are_apart(a: frozenset[str], b: frozenset[str]) -> bool:
    """Whether two texts cannot be in the same language."""
    return bool(a) and bool(b) and a.isdisjoint(b)


def _strange_letters(letters: str) -> int:
    return sum(1 for letter in letters if not letter.isascii())


def _script(letter: str) -> str:
    return LATIN if letter.isascii() else unicodedata.name(letter, LATIN).split(" ")[0]
