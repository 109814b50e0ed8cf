"""Syntactic roles of words: the preposition before each, and their order, passive sentences read as active ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from refrain.streams.guards.content_words import FUNCTION, GENERAL
from refrain.streams.guards.item import Item, Said
from refrain.streams.guards.lexicon import lines, split_list

_LINES = lines("directions")
_PREPOSITIONS = {word: at for at, line in enumerate(_LINES) for word in split_list(line.lstrip("* "))}
STRICT = frozenset(at for at, line in enumerate(_LINES) if line.startswith("*"))
"""Roles of which one may never stand for another: from, to, than, before, after."""
BARE = -1
"""The role of a word that no preposition governs."""
DESCRIBED = -2
"""The role of a word in a clause that describes another: a ball which is green."""

_BY = _PREPOSITIONS["by"]
_BE = frozenset("is are was were be been being get gets got".split())
_ANYBODY = frozenset("they you we i one someone people".split())
_KEYWORDS_MAX = 6
"""Words of a text that is a few words of meaning alone, at most."""
_RELATIVE = frozenset("which who that".split())
_CONJUNCTIONS = frozenset(("and", "or", "vs", "versus", "&", "/"))
SYMMETRIC = frozenset("between vs versus compare comparing compared comparison differ difference differences".split())
_MORE = frozenset("more less better worse".split())
_REFERRING = frozenset(("it", "them"))
_PARTS = frozenset(",.?!;")
ENDS = frozenset("?.!")
"""Marks that end a sentence."""
_OFTEN = frozenset("always usual often constant regular daily weekly monthly yearly".split())
"""Stems of words that may stand before or behind what is so that often: always hungry, hungry all the time."""
_SUMS = frozenset(("number", "operator", "bracket"))
_SAID = {"plus": "+", "minus": "-", "times": "*", "x": "*", "divided": "/", "over": "/", "power": "^", "percent": "%"}
_SIGNS = frozenset("+-*/^%")
_CURRENCIES = frozenset("$€£₹¥")
_WORD, _IS, _JOINS, _CLOSES, _NONE = range(-1, -6, -1)
"""Parts of a sentence beside the prepositions, which are told by the role they give: 0 and above."""
_DONE_WORDS = 2
_WORDS_MAX = 60
"""Words whose roles are read; those of a longer text are told by the first ones."""


def is_symmetric(lows: Sequence[str]) -> bool:
    """Whether a text compares things of which the order says nothing: A and B, which is better; is A or B faster."""
    return is_choice(lows) or not SYMMETRIC.isdisjoint(lows)


def is_choice(lows: Sequence[str]) -> bool:
    """Whether a text asks which of two is more: is A or B faster."""
    return "or" in lows and "than" not in lows and any(low in _MORE or low.endswith("er") for low in lows)


class Roles(NamedTuple):
    """The words of a text by stem with their roles, in the order of an active sentence."""

    role: dict[str, int]
    texts: dict[str, str]
    counts: dict[str, int]
    beside: frozenset[tuple[str, str]]
    """Neighbours with nothing between them; none in a passive sentence."""
    copula: int
    """How many words stand before the last is, are, was or were, where some do."""
    symmetric: bool
    """Whether the text compares things, whose order says nothing."""
    refers: bool
    """Whether a later part of the text speaks of an earlier one: it is slow, how do I speed it up."""
    sentences: int
    dangling: frozenset[int]
    """Prepositions that end a sentence: who does she write to."""
    anybody: bool
    """Whether anybody does it (they, you), and no "is" stands there: where do they make it."""
    passive: bool
    """Whether an "is" stands there, and nobody does it: where is it made."""
    keywords: bool
    """Whether it is a few words of meaning alone, whose order says little: excel vlookup example."""
    calculation: tuple[str, ...]
    """Numbers, operators and brackets in their order, where the text calculates."""


def part_of(item: Item) -> int:
    """Part of a sentence that an item is by itself: the role that a preposition gives, or one of the numbers above."""
    low = item.low
    if low in _PREPOSITIONS:
        return _PREPOSITIONS[low]
    if low in _BE:
        return _IS
    if item.kind in ("word", "number", "time", "sharp", "dotted") and low not in FUNCTION:
        return _WORD
    if low in _CONJUNCTIONS:
        return _JOINS
    return _CLOSES if item.kind == "stop" or (item.kind == "operator" and low not in _CURRENCIES) else _NONE


def read_roles(said: Said) -> Roles:
    """Extract the roles of the words of a text."""
    reader = _Reader()
    before: Item | None = None
    for item in said.items:
        reader.take(item, before)
        before = item
    reader.close()
    is_done, is_being = not _ANYBODY.isdisjoint(said.lows), not _BE.isdisjoint(said.lows)
    order = reader.active() if reader.agent is not None else reader.done(said.lows)
    return Roles(
        role=reader.role if order is reader.order else {root: reader.role[root] for root in order},
        texts=reader.texts,
        counts=reader.counts,
        beside=frozenset(reader.beside if order is reader.order else ()),
        copula=reader.copula,
        symmetric=is_symmetric(said.lows),
        refers=not _REFERRING.isdisjoint(said.lows) and not _PARTS.isdisjoint(said.lows[:-1]),
        sentences=sum(map(ENDS.__contains__, said.lows[:-1])),
        dangling=frozenset(reader.dangling),
        anybody=is_done and not is_being,
        passive=is_being and not is_done,
        keywords=1 < len(said.lows) <= _KEYWORDS_MAX and len(reader.order) == len(said.lows),
        calculation=_calculation(said.items) if "number" in said.kinds else (),
    )


class _Reader:
    """Role parser: takes the items of a text one after the other."""

    __slots__ = (
        "_be_at",
        "_before",
        "_last",
        "_now",
        "agent",
        "beside",
        "copula",
        "counts",
        "dangling",
        "order",
        "role",
        "texts",
    )

    def __init__(self) -> None:
        self.role: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.beside: list[tuple[str, str]] = []
        self.dangling: list[int] = []
        self.order: list[str] = []
        self.copula = 0
        self.agent: int | None = None
        self._now = self._before = BARE
        self._be_at = -1
        self._last = ""

    def take(self, item: Item, before: Item | None) -> None:
        part = item.part
        if part == _WORD:
            self._word(item)
            return
        if part >= 0:
            self._preposition(part)
        elif part == _IS:
            described = before is not None and before.low in _RELATIVE and not before.initial
            self._now = DESCRIBED if described else BARE
            self._be_at = len(self.order)
            self.copula = self._be_at or self.copula
        elif part == _JOINS:
            # What is joined to a word shares its role: between A and B.
            self._now = self._before
        elif part == _CLOSES:
            self.close()
            self._now = self._before = BARE
        self._last = ""

    def close(self) -> None:
        """End a sentence; what its last preposition governs stands before it."""
        if self._now in STRICT:
            self.dangling.append(self._now)

    def _preposition(self, role: int) -> None:
        self._now = role
        if role == _BY and self.agent is None and 0 <= self._be_at < len(self.order):
            self._now, self.agent = BARE, len(self.order)

    def _word(self, item: Item) -> None:
        root = item.stem
        if root not in self.texts and len(self.order) < _WORDS_MAX:
            self.texts[root], self.role[root] = item.text, self._now
            self.order.append(root)
            if self._last and GENERAL.isdisjoint((self._last, root)) and _OFTEN.isdisjoint((self._last, root)):
                self.beside.append((self._last, root))
        self.counts[root] = self.counts.get(root, 0) + 1
        self._last = root
        self._before = self._before if self._now == BARE else self._now
        self._now = DESCRIBED if self._now == DESCRIBED else BARE

    def active(self) -> list[str]:
        """The words in the order of an active sentence: the agent, the verb, then what was the subject."""
        order, agent = self.order, self.agent
        if agent is None:
            return order
        if agent >= len(order):
            # Who was it written by: the verb stands last.
            return [order[-1], *order[:-1]] if self._be_at == 0 else order
        end = self._bare_until(agent, len(order))
        verb = self._bare_until(self._be_at, agent)
        # In a question the subject stands behind the auxiliary: Is Python used by ...
        start = min(self._be_at, agent) or max(0, verb - 1)
        return [*order[agent:end], *order[start:verb], *order[:start], *order[verb:agent], *order[end:]]

    def done(self, lows: Sequence[str]) -> list[str]:
        """The words of "how is X done" in the order of "how do you do X"."""
        order = self.order
        if len(order) != _DONE_WORDS or self._be_at or lows[0] != "how" or lows[1] not in _BE:
            return order
        return [order[1], order[0]] if self._before == BARE else order

    def _bare_until(self, at: int, end: int) -> int:
        while at < end and self.role[self.order[at]] == BARE:
            at += 1
        return at


def _calculation(items: Sequence[Item]) -> tuple[str, ...]:
    at = [n for n, item in enumerate(items) if item.kind == "number"]
    if len(at) < 2:
        return ()
    # A bracket may stand before the first number and behind the last.
    part = items[max(0, at[0] - 1) : at[-1] + 2]
    said = [_SAID.get(item.low, _plain(item)) for item in part if item.kind in _SUMS or item.low in _SAID]
    return tuple(said) if any(sign in _SIGNS for sign in said) else ()


def _plain(item: Item) -> str:
    """What an item of a sum says, a fraction without the zeros that say nothing: 3.50."""
    return item.text.rstrip("0").rstrip(".") if item.kind == "number" and "." in item.text else item.text
