"""Misspellings: whether two words are one, written wrongly in one text: recieve, seperate, accomodation.

No list of all words is kept, so only slips are taken for one that hardly ever make another word: two neighbours
exchanged, a letter doubled or not, a weak vowel inside a long word, a letter left out of a longer one. Words that are
that near and mean something else stand in `words/confusable.txt`.
"""

from __future__ import annotations

from refrain.streams.guards.lexicon import groups

EXCHANGED_CHARS_MIN = 5
"""Letters of a word of which two are exchanged."""
DOUBLED_CHARS_MIN = 6
"""Letters of a word of which one is doubled in the other."""
VOWEL_CHARS_MIN = 7
"""Letters of a word of which a vowel is another one."""
LEFT_OUT_CHARS_MIN = 8
"""Letters that are left of a word of which one was left out."""
BARE_CHARS_MIN = 6
"""Letters that are left where a consonant was left out before what is no ending: recyle."""
_MADE_WORDS = frozenset("ed er ers es est ing ings ion ions y".split())
"""Endings that make words of many: parking, paring; portion, potion."""
_SHORT = 5
_EITHER_WAY = frozenset("st ts sp ps el le".split())
"""Ends of short words that make another one of it either way: coast, coats; angel, angle."""
_WEAK = frozenset("aei")
ROUND_CHARS_MIN = 9
"""Letters of a word of which a vowel is another one, where one of them is an o or a u."""
_ROUND = _WEAK | {"o", "u"}
CONSONANT_CHARS_MIN = 7
"""Letters of a word of which a consonant is another one that sounds alike."""
_ALIKE = frozenset(frozenset(pair) for pair in ("cs", "sz", "ck", "cz"))
_UNHEARD = frozenset("nt nts nce nces ncy ncies ntly ble bles bly bility r rs".split())
"""Endings behind a vowel that is not heard in them: independent, existence, responsible."""
_TAIL = 4
"""Letters behind a vowel that may be another one: endings tell words apart (methane, methene)."""
_VOWELS = frozenset("aeiou")
"""Letters that one leaves out of a word that is shorter by one, too: bulding."""
_ENDINGS = frozenset(("", "d", "ed", "er", "ers", "es", "est", "ing", "ings", "s", "y"))
"""Endings before which a doubled letter makes another word (hoping, hopping; discus, discuss)."""
_ONCE_AT_THE_END = frozenset("bdgmnprt")
"""Letters that end hardly any long word twice: unclogg."""
_PREFIXES = frozenset(("pre", "pro", "per"))
"""Prefixes of which one for another makes another word: prescribe, proscribe."""
_PREFIX_CHARS = 3
_CONFUSABLE = {word: number for number, line in enumerate(groups("confusable")) for word in line}


def is_misspelt(a: str, b: str) -> bool:
    """Whether one of two lower-case words is the other with a slip. Looks at both alike."""
    if a[:1] != b[:1] or abs(len(a) - len(b)) > 1 or min(len(a), len(b)) < EXCHANGED_CHARS_MIN or not (a + b).isalpha():
        return False
    if a in _CONFUSABLE and _CONFUSABLE[a] == _CONFUSABLE.get(b):
        return False
    if _prefixed(a) == _prefixed(b) != "" and a[:_PREFIX_CHARS] != b[:_PREFIX_CHARS]:
        return False
    at = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if len(a) == len(b):
        return (
            _is_exchanged(a[at:], b[at:], len(a))
            or _is_weak(a[at:], b[at:], len(a))
            or _is_alike(a[at:], b[at:], len(a))
        )
    long, short = (a, b) if len(a) > len(b) else (b, a)
    if long[at + 1 :] != short[at:]:
        return False
    if long[at] == long[at - 1] and len(short) >= DOUBLED_CHARS_MIN:
        return long[at + 1 :] not in _ENDINGS or (at + 1 == len(long) and long[at] in _ONCE_AT_THE_END)
    return len(short) >= _left_out_min(long, at) and 2 <= at <= len(short) - 2


def _left_out_min(long: str, at: int) -> int:
    """Letters that are left, at least, of a word of which the one at a place was left out."""
    if long[at] in _VOWELS:
        return LEFT_OUT_CHARS_MIN - 1
    made = long[at] == long[at - 1] or any(long[at + 1 :].endswith(ending) for ending in _MADE_WORDS)
    return LEFT_OUT_CHARS_MIN if made else BARE_CHARS_MIN


def _prefixed(word: str) -> str:
    """What stands behind a prefix that another one may take the place of; "" where none does."""
    return word[_PREFIX_CHARS:] if word[:_PREFIX_CHARS] in _PREFIXES else ""


def _is_exchanged(a: str, b: str, chars: int) -> bool:
    """Whether their first two letters are exchanged, and all others the same; not as a short word's end may be."""
    return len(a) >= 2 and a[0] == b[1] and a[1] == b[0] and a[2:] == b[2:] and (chars > _SHORT or a not in _EITHER_WAY)


def _is_weak(a: str, b: str, chars: int) -> bool:
    """Whether only the first letter differs, a vowel that is hardly heard."""
    if chars < VOWEL_CHARS_MIN or a[1:] != b[1:] or not (len(a) > _TAIL or a[1:] in _UNHEARD):
        return False
    vowels = _WEAK if chars < ROUND_CHARS_MIN else _ROUND
    return a[0] in vowels and b[0] in vowels


def _is_alike(a: str, b: str, chars: int) -> bool:
    """Whether only the first letter differs, a consonant that sounds like the other."""
    return chars >= CONSONANT_CHARS_MIN and len(a) > 1 and a[1:] == b[1:] and frozenset((a[0], b[0])) in _ALIKE
