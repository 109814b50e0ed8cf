"""Order and roles: the same words with subject and object, source and target, or more and less exchanged.

A word's role is the preposition before it, or none. Two texts differ when two words exchange their roles, when one word
stands after prepositions that exclude each other (from Rome, to Rome), or when three words come in reversed order (dog
bites man, man bites dog). A lone word that moves, such as "in Python" from the end to the front, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streams.guards.content import FUNCTION, GENERAL
from streams.guards.items import Item
from streams.guards.words import lines, parted

_LINES = lines("directions")
_PREPOSITIONS = {word: at for at, line in enumerate(_LINES) for word in parted(line.lstrip("* "))}
_STRICT = frozenset(at for at, line in enumerate(_LINES) if line.startswith("*"))
_BY = _PREPOSITIONS["by"]
_BE = frozenset("is are was were be been being get gets got".split())
_RELATIVE = frozenset("which who that".split())
_CONJUNCTIONS = frozenset(("and", "or", "vs", "versus", "&", "/"))
_SYMMETRIC = frozenset("between vs versus compare comparing compared comparison differ difference differences".split())
_BARE = -1
_DESCRIBED = -2
_WORDS_MAX = 60
"""Words whose order is compared; texts with more of them in common are told apart by the first ones."""


class Roles(NamedTuple):
    """The words of a text by stem with their roles, in their order, that of an active sentence."""

    role: dict[str, int]
    texts: dict[str, str]
    counts: dict[str, int]
    beside: frozenset[tuple[str, str]]
    """Neighbours with nothing between them, but for filler."""
    calculation: tuple[str, ...]
    """Numbers in their order, where operators stand between them."""
    symmetric: bool
    """Whether the text compares things, whose order says nothing."""
    sentences: int


def read_roles(items: Sequence[Item]) -> Roles:
    """The roles of the words of a text."""
    role: dict[str, int] = {}
    texts: dict[str, str] = {}
    counts: dict[str, int] = {}
    beside: list[tuple[str, str]] = []
    order: list[str] = []
    now, before, be_at, last = _BARE, _BARE, -1, ""
    agent: int | None = None
    for at, item in enumerate(items):
        low = item.low
        if low in _BE:
            described = at > 0 and items[at - 1].low in _RELATIVE and not items[at - 1].initial
            now, be_at = (_DESCRIBED if described else _BARE), len(order)
        elif low in _PREPOSITIONS:
            now = _PREPOSITIONS[low]
            if now == _BY and agent is None and 0 <= be_at < len(order):
                now, agent = _BARE, len(order)
        elif item.kind in ("word", "number", "sharp", "dotted") and low not in FUNCTION:
            if item.stem not in texts and len(order) < _WORDS_MAX:
                texts[item.stem], role[item.stem] = item.text, now
                order.append(item.stem)
                if last and not {last, item.stem} & GENERAL:
                    beside.append((last, item.stem))
            counts[item.stem] = counts.get(item.stem, 0) + 1
            last = item.stem
            before, now = (now if now != _BARE else before), (now if now == _DESCRIBED else _BARE)
            continue
        elif low in _CONJUNCTIONS:
            # What is joined to a word shares its role: between A and B.
            now = before
        elif item.kind in ("stop", "operator"):
            now = before = _BARE
        last = ""
    if agent is not None and agent < len(order):
        order = _active(order, be_at, agent, role)
    return Roles(
        {root: role[root] for root in order},
        texts,
        counts,
        frozenset(beside),
        _calculation(items),
        any(item.low in _SYMMETRIC for item in items),
        sum(item.low in ("?", ".", "!") for item in items[:-1]),
    )


def _active(order: list[str], be_at: int, agent: int, role: dict[str, int]) -> list[str]:
    """The order of an active sentence: the agent of the passive first, then the verb, then what was the subject."""
    end = _bare_until(order, agent, len(order), role)
    verb = _bare_until(order, be_at, agent, role)
    # In a question the subject stands behind the auxiliary: Is Python used by ...
    start = be_at if be_at else max(0, verb - 1)
    return [*order[agent:end], *order[start:verb], *order[:start], *order[verb:agent], *order[end:]]


def _bare_until(order: list[str], at: int, end: int, role: dict[str, int]) -> int:
    while at < end and role[order[at]] == _BARE:
        at += 1
    return at


def differing(a: Roles, b: Roles) -> tuple[str, ...]:
    """The words that change places or roles."""
    if a.calculation != b.calculation and sorted(a.calculation) == sorted(b.calculation):
        return a.calculation[:2]
    both = [root for root in a.role if root in b.role]
    moved = [root for root in both if a.role[root] != b.role[root]]
    said = [root for root in moved if a.role[root] in _STRICT and b.role[root] in _STRICT] or _exchanged(a, b, moved)
    said = said or _repeated(a, b, both)
    if not said:
        places = {root: at for at, root in enumerate(b.role)}
        both = [root for root in both if not root[0].isdigit() and _DESCRIBED not in (a.role[root], b.role[root])]
        there = [places[root] for root in both]
        said = [] if a.symmetric and b.symmetric else [both[at] for at in _reversed(there)] or _neighbours(a, b)
    return tuple(a.texts[root] for root in said)


def _exchanged(a: Roles, b: Roles, moved: list[str]) -> list[str]:
    """Two words of which each has the other's role."""
    for at, x in enumerate(moved):
        for y in moved[at + 1 :]:
            if a.role[x] == b.role[y] and a.role[y] == b.role[x] and _DESCRIBED not in (a.role[x], a.role[y]):
                return [x, y]
    return []


def _repeated(a: Roles, b: Roles, both: list[str]) -> list[str]:
    """Words that one text says again where the other does not."""
    mine = [root for root in both if a.counts[root] > b.counts[root]]
    theirs = [root for root in both if a.counts[root] < b.counts[root]]
    if mine and theirs:
        return mine + theirs
    # As many words in all: a synonym stands for the repeated one. More sentences: it is told again.
    again = a.sentences == b.sentences and sum(a.counts.values()) != sum(b.counts.values())
    return mine + theirs if again else []


def _reversed(there: list[int]) -> list[int]:
    """Where three of the places stand in falling order, if any do."""
    if all(x < y for x, y in zip(there, there[1:], strict=False)):
        return []
    for middle in range(1, len(there) - 1):
        before = next((at for at in range(middle) if there[at] > there[middle]), None)
        after = next((at for at in range(middle + 1, len(there)) if there[at] < there[middle]), None)
        if before is not None and after is not None:
            return [before, middle, after]
    return []


def _neighbours(a: Roles, b: Roles) -> list[str]:
    """Two words that stand side by side, in one order here and in the other there: house boat, boat house."""
    return next(([x, y] for x, y in sorted(a.beside) if (y, x) in b.beside), [])


def _calculation(items: Sequence[Item]) -> tuple[str, ...]:
    at = [n for n, item in enumerate(items) if item.kind == "number"]
    if len(at) < 2 or not any(item.kind == "operator" for item in items[at[0] : at[-1]]):
        return ()
    return tuple(items[n].text for n in at)
