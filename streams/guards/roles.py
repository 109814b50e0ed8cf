"""Order and roles: the same words with subject and object, source and target, or more and less exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streams.guards.content import FUNCTION, Content
from streams.guards.items import Item
from streams.guards.words import groups, lines

_DIRECTIONS = {word: number for number, line in enumerate(lines("directions")[0].split("|"))
               for word in (part.strip() for part in line.split(","))}  # fmt: skip
_BE = frozenset("is are was were be been being am get gets got".split())
_BARE = -1


class Roles(NamedTuple):
    """The words of a text by stem with the role a preposition gives them, and the order of those without one."""

    role: dict[str, int]
    bare: tuple[str, ...]
    texts: dict[str, str]
    figures: tuple[str, ...]
    """Numbers and operators in their order, where the text calculates."""


def read_roles(items: Sequence[Item], content: Content) -> Roles:
    """The roles of the words of a text."""
    role: dict[str, int] = {}
    bare: list[str] = []
    texts: dict[str, str] = {}
    now = _BARE
    passive = False
    agent_at: int | None = None
    for item in items:
        if item.kind in ("stop", "operator"):
            now = _BARE
            continue
        if item.low in _BE:
            passive = True
        if item.low in _DIRECTIONS:
            now = _DIRECTIONS[item.low]
            if item.low == "by" and passive and bare:
                agent_at, now = len(bare), _BARE
        elif item.kind == "word" and item.low not in FUNCTION and item.stem not in texts:
            texts[item.stem] = item.text
            role[item.stem] = now
            if now == _BARE:
                bare.append(item.stem)
            now = _BARE
        elif item.low in ("and", "or", "of", "in", "at", "on"):
            now = _BARE
    if agent_at is not None:
        bare = [*bare[agent_at:], bare[agent_at - 1], *bare[: agent_at - 1]]
    return Roles(role, tuple(bare), texts, _calculation(items))


def differing(a: Roles, b: Roles) -> tuple[str, ...]:
    """The words that change places or roles."""
    if a.figures != b.figures and sorted(a.figures) == sorted(b.figures):
        return a.figures[:2]
    swapped = [
        root
        for root, role in a.role.items()
        if root in b.role and b.role[root] != role and _BARE not in (role, b.role[root])
    ]
    if swapped:
        return tuple(a.texts[root] for root in swapped)
    moved = [root for root, role in a.role.items() if root in b.role and b.role[root] != role]
    if len(moved) > 1 and any(a.role[root] == _BARE for root in moved) and any(b.role[root] == _BARE for root in moved):
        return tuple(a.texts[root] for root in moved)
    return _inverted(a, b)


def _inverted(a: Roles, b: Roles) -> tuple[str, ...]:
    both = [root for root in a.bare if root in b.bare]
    if len(both) < 3:
        return ()
    there = [b.bare.index(root) for root in both]
    if there == sorted(there):
        return ()
    for at in range(len(both) - 2):
        if there[at] > there[at + 2]:
            return (a.texts[both[at]], a.texts[both[at + 2]])
    return ()


def _calculation(items: Sequence[Item]) -> tuple[str, ...]:
    """Numbers in their order where an operator stands between two of them."""
    at = [n for n, item in enumerate(items) if item.kind == "number"]
    if len(at) < 2 or not any(item.kind == "operator" for item in items[at[0] : at[-1]]):
        return ()
    return tuple(items[n].low for n in at)
