"""What little words stand before: of how many something is said, when somebody does it, whether it is more.

Two texts of the same words ask something else where such a word belongs to another one.
"""

from __future__ import annotations

from itertools import pairwise

from refrain.streams.guards.small_words import SmallWords

_SUBJECTS = frozenset("i you we he she they".split())
_IS, _WAS = "is", "was"
_COUNTING = frozenset(("each", "every", "no", "only"))
"""Words that say of how many where they stand before a word, and belong to no other place of a sentence."""
_THAN, _AS = "than", "as"


def degrees(a: SmallWords, b: SmallWords) -> tuple[str, ...]:
    """Differences: "than" against "as", where one text asks what is more, and the other what is as much."""
    if _THAN in a.counted:
        return (_THAN, _AS) if _THAN not in b.counted and b.counted.get(_AS, 0) > 1 else ()
    return degrees(b, a) if _THAN in b.counted else ()


def times(a: SmallWords, b: SmallWords) -> list[str]:
    """What somebody does in one of the texts and did in the other: what are they building, what were they building."""
    if (_WAS in a.counted) == (_WAS in b.counted):
        return []
    mine, theirs = _time(a), _time(b)
    return [mine, theirs] if mine and theirs and mine != theirs else []


def _time(a: SmallWords) -> str:
    return next((x.key for x, y in pairwise(a.words) if x.key in (_IS, _WAS) and y.key in _SUBJECTS), "")


def parted(a: SmallWords, b: SmallWords) -> list[str]:
    """Words that say of how many, before another word there: each employee a break, an employee each break."""
    if _COUNTING.isdisjoint(a.counted) or _COUNTING.isdisjoint(b.counted):
        return []
    mine, theirs = _counting(a), _counting(b)
    return [key for key in mine if theirs.get(key, mine[key]) != mine[key]]


def _counting(a: SmallWords) -> dict[str, str]:
    return {x.key: y.key for x, y in pairwise(a.words) if x.key in _COUNTING and y.content}
