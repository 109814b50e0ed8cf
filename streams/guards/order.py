"""The guard `order`: the same words with subject and object, source and target, or more and less exchanged.

Two texts differ when two words exchange their roles, when one word stands after prepositions that exclude each other
(from Rome, to Rome), when one text says a word again that the other does not, or when three words come in reversed
order (dog bites man, man bites dog). A lone word that moves, as "in Python" from the end to the front, changes nothing.
"""

from __future__ import annotations

from itertools import pairwise

from refrain.streams.guards.content_words import GENERAL
from refrain.streams.guards.lexicon import groups
from refrain.streams.guards.roles import BARE, DESCRIBED, STRICT, Roles
from refrain.streams.guards.stems import stem

_WAYS = frozenset("step way method tip guide instruction".split())
"""Stems of words that ask how: steps to enable two-step verification."""
_MONTHS = frozenset(stem(name) for names in groups("dates")[:12] for name in names)


def differences(a: Roles, b: Roles) -> tuple[str, ...]:
    """Differences: words that change places or roles."""
    if a.calculation and b.calculation and a.calculation != b.calculation:
        return tuple(part for part in a.calculation if part[-1].isdigit())
    both = [root for root in a.role if root in b.role]
    said = _exchanged(a, b, both) or _repeated(a, b, both) or _reordered(a, b, both)
    return tuple(a.texts[root] for root in said)


def _exchanged(a: Roles, b: Roles, both: list[str]) -> list[str]:
    """Words whose roles exclude each other, or two of which each has the other's role."""
    moved = [(root, a.role[root], b.role[root]) for root in both if a.role[root] != b.role[root]]
    if not moved:
        return []
    for root, mine, theirs in moved:
        if mine in STRICT and (theirs in STRICT or mine in b.dangling):
            return [root]
        if theirs in STRICT and theirs in a.dangling:
            return [root]
    symmetric = a.symmetric and b.symmetric
    alone = len(moved) == 2 and len(a.role) == len(b.role) == len(both)
    for at, (x, mine, theirs) in enumerate(moved):
        if DESCRIBED in (mine, theirs) or (symmetric and mine not in STRICT and theirs not in STRICT):
            continue
        for y, his, hers in moved[at + 1 :]:
            if mine == hers and theirs == his and not _is_date(x, y):
                return [x, y]
            if alone and _is_governed_in_turn(mine, theirs, his, hers) and not _is_date(x, y):
                return [x, y]
    return []


def _is_governed_in_turn(mine: int, theirs: int, his: int, hers: int) -> bool:
    """Whether of two words each is governed in one text alone: the index of an element, the element at an index."""
    one, other = (theirs, his) if mine == hers == BARE else (mine, hers) if theirs == his == BARE else (BARE, BARE)
    return min(one, other) > BARE and STRICT.isdisjoint((one, other))


def _repeated(a: Roles, b: Roles, both: list[str]) -> list[str]:
    """Words that one text says again where the other does not."""
    if a.counts == b.counts:
        return []
    again = [root for root in both if a.counts[root] != b.counts[root] and root not in _WAYS]
    if a.symmetric and b.symmetric:
        # Between red wine and white wine, between red and white wine; who of those that are compared counts.
        again = [root for root in again if not (a.texts[root].islower() and b.texts[root].islower())]
    if not again:
        return []
    mine = [root for root in again if a.counts[root] > b.counts[root]]
    theirs = [root for root in again if a.counts[root] < b.counts[root]]
    if mine and theirs:
        return mine + theirs
    # As many words in all: a synonym stands for the repeated one. More sentences: it is told again.
    counts = a.sentences == b.sentences and sum(a.counts.values()) != sum(b.counts.values())
    return mine + theirs if counts else []


def _reordered(a: Roles, b: Roles, both: list[str]) -> list[str]:
    """Words that come in reversed order, where order tells who does what."""
    if a.refers != b.refers or (a.symmetric and b.symmetric) or both == [root for root in b.role if root in a.role]:
        return []
    ordered = [r for r in both if not r[0].isdigit() and a.role[r] != DESCRIBED and b.role[r] != DESCRIBED]
    if a.keywords != b.keywords:
        # What a preposition governs stands anywhere in a few keywords: an example of it in excel.
        ordered = [r for r in ordered if a.role[r] == b.role[r]]
    places = {root: at for at, root in enumerate(b.role)}
    there = [places[root] for root in ordered]
    if all(x < y for x, y in pairwise(there)):
        return []
    return [ordered[at] for at in _reversed(there)] or _neighbours(a, b) or _equated(a, b, ordered)


def _reversed(there: list[int]) -> list[int]:
    """Where three of the places stand in falling order, if any do."""
    for middle in range(1, len(there) - 1):
        before = next((at for at in range(middle) if there[at] > there[middle]), None)
        after = next((at for at in range(middle + 1, len(there)) if there[at] < there[middle]), None)
        if before is not None and after is not None:
            return [before, middle, after]
    return []


def _neighbours(a: Roles, b: Roles) -> list[str]:
    """Two words that stand side by side, in one order here and in the other there: house boat, boat house."""
    if (a.anybody and b.passive) or (b.anybody and a.passive):
        return []
    return next(([x, y] for x, y in sorted(a.beside) if (y, x) in b.beside and not _is_date(x, y)), [])


def _is_date(x: str, y: str) -> bool:
    """Whether they are a day and its month: 4 July, July 4."""
    return x.isdigit() != y.isdigit() and (y if x.isdigit() else x) in _MONTHS


def _equated(a: Roles, b: Roles, ordered: list[str]) -> list[str]:
    """The only two words, around an "is" that says one of the other: how many euros is a dollar."""
    alone = [root for root in ordered if root not in GENERAL]
    bare = len(alone) == 2 and all(roles.role[root] == BARE for roles in (a, b) for root in alone)
    return alone if bare and _around(a, alone) and _around(b, alone) else []


def _around(roles: Roles, two: list[str]) -> bool:
    """Whether the two are all that the text speaks of, one of them before its "is"."""
    order = [root for root in roles.role if root not in GENERAL]
    places = [at for at, root in enumerate(roles.role) if root in two]
    return len(order) == 2 and places[0] < roles.copula <= places[1]
