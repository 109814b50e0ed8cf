"""The guard `negation`: negators, prefixes and antonyms that turn a sentence into its contrary."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

from refrain.streams.guards.item import STEM, TEXT, Item, Said
from refrain.streams.guards.lexicon import Side, groups, sides, words
from refrain.streams.guards.once import Once
from refrain.streams.guards.stems import stem

_NEGATORS = words("negators")
_PREFIXES = tuple(sorted(words("prefixes"), key=len, reverse=True))
_OPPOSITES = sides("opposites")
_BY_STEM: dict[str, tuple[Side, ...]] = {}
for _term, _places in _OPPOSITES.items():
    if " " not in _term:
        _root = stem(_term)
        _BY_STEM[_root] = tuple(dict.fromkeys(_BY_STEM.get(_root, ()) + _places))
_FIRSTS = frozenset(term.split()[0] for term in _OPPOSITES if " " in term)
_PAIRED = frozenset(frozenset(line) for line in groups("paired_prefixes"))
_PAIRING = tuple(sorted({prefix for pair in _PAIRED for prefix in pair}))
_PAIRING_CHARS = sorted(set(map(len, _PAIRING)))
_TURNING = _PREFIXES + _PAIRING
_APART = frozenset("anti non un dis de mis counter".split())
"""Prefixes that are no words of their own."""
_NON = "non"
_BASE_CHARS = 3
"""A prefix turns only words that are at least as long without it."""
_PAIRED_CHARS = 4
"""Of two prefixes that turn each other the word without them is as long."""


class Negations:
    """Negations in a text: its negators, its terms that have an opposite, and its words by stem."""

    def __init__(self, said: Said) -> None:
        """Extract the negators and antonyms of a text."""
        self._said = said
        self.items, self.lows = said.items, said.lows
        self.turning = [(at, item) for at, item in enumerate(said.items) if item.may_turn]
        """Words that may turn the text into its contrary, each with its place; without any none does."""

    @Once
    def negators(self) -> tuple[str, ...]:
        """Its negators, as they are written."""
        return tuple([item.text for _, item in self.turning if item.low in _NEGATORS])

    @Once
    def sides(self) -> dict[int, dict[int, str]]:
        """Of each line of opposites, the sides named, with the word that names it."""
        found: dict[int, dict[int, str]] = {}
        lows = self._said.lows
        for at, item in self.turning:
            two = f"{item.low} {lows[at + 1]}" if at + 1 < len(lows) else ""
            for place in _BY_STEM.get(item.stem, ()) + _OPPOSITES.get(two, ()):
                found.setdefault(place.line, {}).setdefault(place.side, item.text)
        return found

    @Once
    def stems(self) -> dict[str, str]:
        """Its words by stem."""
        words = [item for item in self._said.items if item.kind == "word"]
        return dict(zip(map(STEM, words), map(TEXT, words), strict=True))

    @Once
    def prefixed(self) -> tuple[tuple[str, list[str]], ...]:
        """Stems that begin like a prefix, each with what it is without it."""
        found = [(item.stem, _rests(item.stem)) for _, item in self.turning if item.stem.startswith(_PREFIXES)]
        return tuple([(root, rests) for root, rests in found if rests])

    @Once
    def paired(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Of words that begin like a prefix with a contrary, by what follows: the prefix and the word."""
        return _paired([item for _, item in self.turning if item.stem.startswith(_PAIRING)])


def may_turn(item: Item) -> bool:
    """Whether a word may turn a sentence into its contrary, as a negator, by a prefix or as one of two opposites."""
    if item.kind != "word":
        return False
    return item.low in _NEGATORS or item.low in _FIRSTS or item.stem in _BY_STEM or item.stem.startswith(_TURNING)


def _rests(root: str) -> list[str]:
    """What is left of a stem without each prefix that it begins with."""
    rests = [root.removeprefix(prefix) for prefix in _PREFIXES if root.startswith(prefix)]
    return [rest for rest in rests if len(rest) >= _BASE_CHARS]


def _paired(items: Sequence[Item]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Of words that begin like a prefix with a contrary, by what follows: the prefix and the word."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for item in items:
        for chars in _PAIRING_CHARS:
            prefix, rest = item.stem[:chars], item.stem[chars:]
            if prefix in _PAIRING and len(rest) >= _PAIRED_CHARS:
                found[rest] = (*found.get(rest, ()), (prefix, item.text))
    return found


def differences(a: Negations, b: Negations) -> tuple[str, ...]:
    """Differences: words that say the contrary of each other."""
    if not (a.turning or b.turning):
        return ()
    turned = _prefixed(a, b) or _prefixed(b, a)[::-1]
    mine, theirs = a.negators, b.negators
    if mine != theirs:
        mine, theirs = _negators(a, b), _negators(b, a)
    odd = len(mine) % 2 != len(theirs) % 2
    if turned and not odd:
        return turned
    if odd and not turned:
        return mine + theirs
    if not odd and bool(mine) != bool(theirs):
        return mine + theirs
    return _paired_apart(a, b) or _opposed(a, b)


def _negators(a: Negations, b: Negations) -> tuple[str, ...]:
    """The negators of a text but for a "non" that the other text writes as one with its word: non profit, nonprofit."""
    if _NON not in a.lows:
        return a.negators
    joined = sum([x == _NON and _NON + y in b.lows for x, y in pairwise(a.lows)])
    apart = [text for text in a.negators if text.lower() == _NON]
    return tuple([text for text in a.negators if text.lower() != _NON] + apart[joined:])


def _prefixed(a: Negations, b: Negations) -> tuple[str, ...]:
    """Prefix negation: a word and its contrary by a prefix (safe, unsafe), of which each text has only one."""
    for root, rests in a.prefixed:
        if root not in b.stems:
            for rest in rests:
                if rest in b.stems and rest not in a.stems and not _stands_apart(b, root.removesuffix(rest), rest):
                    return (a.stems[root], b.stems[rest])
    return ()


def _stands_apart(a: Negations, prefix: str, rest: str) -> bool:
    """Whether a text says a word in two: anti virus, non fiction. "In visible" is no such word."""
    return prefix in _APART and any(x.low == prefix and y.stem == rest for x, y in pairwise(a.items))


def _paired_apart(a: Negations, b: Negations) -> tuple[str, ...]:
    """Words of which prefixes make opposites (inbound, outbound), where each text names one alone."""
    for rest in sorted(a.paired.keys() & b.paired.keys()):
        mine, theirs = dict(a.paired[rest]), dict(b.paired[rest])
        for one, other in product(sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())):
            if frozenset((one, other)) in _PAIRED:
                return (mine[one], theirs[other])
    return ()


def _opposed(a: Negations, b: Negations) -> tuple[str, ...]:
    """Antonyms of which each text names a side that the other does not."""
    if a.sides.keys().isdisjoint(b.sides):
        return ()
    for line in sorted(a.sides.keys() & b.sides.keys()):
        mine, theirs = a.sides[line], b.sides[line]
        if mine.keys() - theirs.keys() and theirs.keys() - mine.keys():
            side, other = min(mine.keys() - theirs.keys()), min(theirs.keys() - mine.keys())
            return (mine[side], theirs[other])
    return ()
