"""What little words stand before: of how many something is said, when somebody does it, whether it is more.

Two texts of the same words ask something else where such a word belongs to another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from refrain.streams.guards.content_words import GENERAL
from refrain.streams.guards.item import Word
from refrain.streams.guards.small_words import PERSONS, SmallWords
from refrain.streams.guards.stems import may_be_past, stem

_SUBJECTS = frozenset("i you we he she they".split())
IS, _WAS = "is", "was"
_ALL = "all"
_EACH = frozenset(("every", "each"))
_WILL, _HAS, _BEEN = "will", "has", "been"
_COUNTING = frozenset(("each", "every", "no", "only"))
"""Words that say of how many where they stand before a word, and belong to no other place of a sentence."""
_PAST = 2
"""Words behind which one is looked for that such a word belongs to."""
_OF_HOW_MANY = frozenset("all both every everyone everything always only".split())
_NOT, _TO = "not", "to"
_ASKING = frozenset("why how when where what which".split())
_INVERTED = _ASKING | frozenset("is was has can could will would should must may might shall".split())
"""Words before a "not" that stands with its verb before who does it: why isn't the car starting."""
_THAN, _AS = "than", "as"
_AND, _HALF = "and", "half"


def degrees(a: SmallWords, b: SmallWords) -> tuple[str, ...]:
    """Differences: "than" against "as", where one text asks what is more, and the other what is as much."""
    if _THAN in a.counted:
        return (_THAN, _AS) if _THAN not in b.counted and b.counted.get(_AS, 0) > 1 else ()
    return degrees(b, a) if _THAN in b.counted else ()


def times(a: SmallWords, b: SmallWords) -> list[str]:
    """What somebody does in one of the texts and did in the other: what are they building, what were they building."""
    if (_WILL in a.counted) != (_WILL in b.counted):
        to_come, done = (a, b) if _WILL in a.counted else (b, a)
        return [_WILL, _BEEN] if _BEEN in done.counted and _HAS in done.counted else _told(to_come, done)
    if (_WAS in a.counted) == (_WAS in b.counted):
        return []
    mine, theirs = _time(a), _time(b)
    return [mine, theirs] if mine and theirs and mine != theirs else []


def _told(to_come: SmallWords, done: SmallWords) -> list[str]:
    """A verb that one text tells of as past: who will win, who won."""
    if IS in done.counted:
        return []
    there = {word.key: word.text.lower() for word in to_come.words if word.content}
    told = (word.text for word in done.words if word.content and may_be_past(word.text.lower()))
    said = {stem(text.lower()): text for text in told}
    return next(([_WILL, text] for key, text in said.items() if there.get(key, text.lower()) != text.lower()), [])


def _time(a: SmallWords) -> str:
    return next((x.key for x, y in pairwise(a.words) if x.key in (IS, _WAS) and y.key in _SUBJECTS), "")


def parted(a: SmallWords, b: SmallWords) -> list[str]:
    """Words that say of how many, before another word there: each employee a break, an employee each break."""
    if _COUNTING.isdisjoint(a.counted) or _COUNTING.isdisjoint(b.counted):
        return []
    mine, theirs = _counting(a), _counting(b)
    return [key for key in mine if theirs.get(key, mine[key]) != mine[key]]


def denied(a: SmallWords, b: SmallWords) -> list[str]:
    """What a "not" denies in one of two texts that deny other words: empty and not hidden, not empty and hidden."""
    if _NOT not in a.counted or a.counted[_NOT] != b.counted.get(_NOT):
        return []
    mine, theirs = _denied(a), _denied(b)
    if len(mine) != len(theirs) or len(mine) != a.counted[_NOT] or sorted(mine) == sorted(theirs):
        return []
    return [word for pair in zip(mine, theirs, strict=True) if pair[0] != pair[1] for word in pair][:2]


def not_all(a: SmallWords, b: SmallWords) -> list[str]:
    """What is denied of all in one text, and in the other only not said of all: all birds do not fly, not all do."""
    if _NOT not in a.counted or _NOT not in b.counted or _ALL not in a.counted or _ALL not in b.counted:
        return []
    return [_NOT, _ALL] if _is_of_not_all(a) != _is_of_not_all(b) else []


def halves(a: SmallWords, b: SmallWords) -> list[str]:
    """A half more, and a half: an hour and a half, half an hour."""
    if _HALF not in a.counted or _HALF not in b.counted or (_AND in a.counted) == (_AND in b.counted):
        return []
    return [_AND, _HALF]


def _is_of_not_all(a: SmallWords) -> bool:
    """Whether it says of some alone that it is so: not all birds fly, rather than all birds do not fly."""
    return (_NOT, _ALL) in pairwise(a.keys)


def _denied(a: SmallWords) -> list[str]:
    """The word of meaning behind each "not", where one follows; isn't the car new says nothing of what is denied."""
    found: list[str] = []
    for at, word in enumerate(a.words):
        behind = a.words[at + 1 : at + 1 + _PAST]
        if word.key == _NOT and (_is_of_how_many(behind) or not _is_inverted(a.keys, at)):
            if behind and behind[0].key == _TO:
                behind = behind[1:]
            found += [behind[0].key] if behind and (behind[0].content or behind[0].key in _OF_HOW_MANY) else []
    return found


def _is_of_how_many(behind: Sequence[Word]) -> bool:
    return bool(behind) and behind[0].key in _OF_HOW_MANY


def _is_inverted(keys: Sequence[str], at: int) -> bool:
    """Whether a "not" stands with its verb before who does it."""
    return at < _PAST + 1 and (at == 0 or keys[at - 1] in _INVERTED)


def _counting(a: SmallWords) -> dict[str, str]:
    """Each with the word of meaning or the person behind it, past a preposition: only on Windows."""
    found: dict[str, str] = {}
    for at, word in enumerate(a.words):
        if word.key in _COUNTING:
            behind = a.words[at + 1 : at + 1 + _PAST]
            found[word.key] = next((each.key for each in behind if each.content or each.key in PERSONS), "")
    return {key: other for key, other in found.items() if other}


def several(a: SmallWords, b: SmallWords) -> list[str]:
    """What one request asks for one of, and the other for several, or that one text has one of, and the other all."""
    if a.request and b.request and len(a.keys) > 1 and a.keys[:2] == b.keys[:2]:
        return _one_and_several(a.words[1], b.words[1])
    if (_ALL in a.counted) == (_ALL in b.counted):
        return []
    whole, part = (a, b) if _ALL in a.counted else (b, a)
    if not _EACH.isdisjoint(part.counted):
        return []
    there = {word.key: word for word in part.words if word.content}
    of = next((y for x, y in pairwise(whole.words) if x.key == _ALL), None)
    return _one_and_several(of, there[of.key]) if of is not None and of.key in there else []


def _one_and_several(m: Word, t: Word) -> list[str]:
    """Two words of which one is the plural of the other."""
    one, several = sorted((m.text.lower(), t.text.lower()), key=len)
    return [m.text, t.text] if m.content and m.key not in GENERAL and several in (one + "s", one + "es") else []
