"""The guard `negation`: negators, prefixes and antonyms that turn a sentence into its contrary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from refrain.streams.guards.items import Item
from refrain.streams.guards.lexicon import Side, sides, words
from refrain.streams.guards.stems import stem

_NEGATORS = words("negators")
_PREFIXES = tuple(sorted(words("prefixes"), key=len, reverse=True))
_OPPOSITES = sides("opposites")
_BY_STEM: dict[str, tuple[Side, ...]] = {}
for _term, _places in _OPPOSITES.items():
    if " " not in _term:
        _root = stem(_term)
        _BY_STEM[_root] = tuple(dict.fromkeys(_BY_STEM.get(_root, ()) + _places))
_BASE_CHARS = 3
"""A prefix turns only words that are at least as long without it."""


class Negations(NamedTuple):
    """Negations in a text: its negators, its terms that have an opposite, and its words by stem."""

    negators: tuple[str, ...]
    sides: dict[int, dict[int, str]]
    """Of each line of opposites, the sides named, with the word that names it."""
    stems: dict[str, str]


def read_negations(items: Sequence[Item]) -> Negations:
    """Extract the negators and antonyms of a text."""
    found: dict[int, dict[int, str]] = {}
    lows = [item.low for item in items]
    for at, item in enumerate(items):
        if item.kind != "word":
            continue
        places = _BY_STEM.get(item.stem, ())
        two = f"{item.low} {lows[at + 1]}" if at + 1 < len(lows) else ""
        for place in places + _OPPOSITES.get(two, ()):
            found.setdefault(place.line, {}).setdefault(place.side, item.text)
    negators = tuple(item.text for item in items if item.kind == "word" and item.low in _NEGATORS)
    return Negations(negators, found, {item.stem: item.text for item in items if item.kind == "word"})


def differences(a: Negations, b: Negations) -> tuple[str, ...]:
    """Differences: words that say the contrary of each other."""
    turned = _prefixed(a, b) or _prefixed(b, a)[::-1]
    odd = len(a.negators) % 2 != len(b.negators) % 2
    if turned and not odd:
        return turned
    if odd and not turned:
        return a.negators + b.negators
    if not odd and bool(a.negators) != bool(b.negators):
        return a.negators + b.negators
    return _opposed(a, b)


def _prefixed(a: Negations, b: Negations) -> tuple[str, ...]:
    """Prefix negation: a word and its contrary by a prefix (safe, unsafe), of which each text has only one."""
    for root, text in a.stems.items():
        if root in b.stems:
            continue
        for prefix in _PREFIXES:
            rest = root[len(prefix) :]
            if len(rest) >= _BASE_CHARS and root.startswith(prefix) and rest in b.stems and rest not in a.stems:
                return (text, b.stems[rest])
    return ()


def _opposed(a: Negations, b: Negations) -> tuple[str, ...]:
    """Antonyms of which each text names a side that the other does not."""
    for line in sorted(a.sides.keys() & b.sides.keys()):
        mine, theirs = a.sides[line], b.sides[line]
        if mine.keys() - theirs.keys() and theirs.keys() - mine.keys():
            side, other = min(mine.keys() - theirs.keys()), min(theirs.keys() - mine.keys())
            return (mine[side], theirs[other])
    return ()
