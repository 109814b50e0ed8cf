"""Spelling: common words that are typed in haste or hardly ever spelled rightly, and what they are read as.

Only what is no word itself is read as another one. A model has no meaning for such a form, so that one slip makes two
texts that ask the same as far apart as two questions: a text is put right before it is embedded, too. Guards compare
what was typed.
"""

from __future__ import annotations

import re

from refrain.streams.guards.lexicon import pairs, split_list, words

_UNMARKED = {
    "whats": ("what", "is"), "hows": ("how", "is"), "wheres": ("where", "is"), "whos": ("who", "is"),
    "dont": ("do", "not"), "doesnt": ("does", "not"), "didnt": ("did", "not"), "isnt": ("is", "not"),
    "arent": ("are", "not"), "wasnt": ("was", "not"), "werent": ("were", "not"), "cant": ("can", "not"),
    "wont": ("will", "not"), "couldnt": ("could", "not"), "wouldnt": ("would", "not"),
    "shouldnt": ("should", "not"), "havent": ("have", "not"), "hasnt": ("has", "not"), "cannot": ("can", "not"),
    "im": ("i", "am"), "ive": ("i", "have"), "youre": ("you", "are"), "theres": ("there", "is"),
}  # fmt: skip
_HASTY = words("hasty")
_OTHER_WORDS = frozenset("dose odes three".split())
"""Slips of such words that are words of their own."""
_DOUBLED = re.compile(r"(.)\1")
_DOUBLED_CHARS_MIN = 5
"""Letters of a word of which a doubled one is written once in haste."""
_SHORT = {"u": "you", "ur": "your", "pls": "please", "plz": "please", "appt": "appointment", "mins": "minutes"}
"""Words cut short in haste that guards read as they stand."""
_OF_SPELLING = frozenset(
    "spell spells spelled spelt spelling misspell misspelled misspelt typo typos correctly".split()
)
"""Words of a text that may ask of how a word is spelled, which is no slip in it."""
_WORD = re.compile("[a-z]+")
_PLAIN = re.compile(r"(?<![\w.@/\\'\"`\u2018\u2019\u201c-])[A-Za-z]+(?![\w@/\\'\"`\u2019\u201d-]|\.\w)")
"""A word of prose: no part of a name, of an address or of code, and not quoted."""


def _slips() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for word in sorted(_HASTY):
        slips = [word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)]
        if len(word) >= _DOUBLED_CHARS_MIN:
            slips += [word[: match.start()] + word[match.start() + 1 :] for match in _DOUBLED.finditer(word)]
        for slip in slips:
            if slip not in _HASTY and slip not in _OTHER_WORDS:
                found.setdefault(slip, (word,))
    return found


_MISSPELT = {wrong: (right,) for right, slips in pairs("misspelt") for wrong in split_list(slips)}
READ_AS = _slips() | _MISSPELT | _UNMARKED
"""Words that are read as others, folded."""
_PUT_RIGHT = {slip: right[0] for slip, right in (_slips() | _MISSPELT).items()} | _SHORT
_FORMS = frozenset(_PUT_RIGHT)


def put_right(text: str) -> str:
    """The text with the words of its prose spelled as they are meant; the same text where none is misspelt."""
    lows = _WORD.findall(text.lower())
    if _FORMS.isdisjoint(lows) or not _OF_SPELLING.isdisjoint(lows):
        return text
    return _PLAIN.sub(_meant, text)


def _meant(found: re.Match[str]) -> str:
    word = found[0]
    meant = _PUT_RIGHT.get(word.lower())
    if meant is None or word.isupper():
        return word
    return meant.capitalize() if word[0].isupper() else meant
