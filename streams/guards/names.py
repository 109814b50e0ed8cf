"""The guard `names`: named entities and content words of one text must occur in the other, too.

Names are capitalised words, acronyms, identifiers, paths, addresses and versions, in every script. In English every
word that carries meaning counts: one in each text that the other says in no way is another subject or another action.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from refrain.streams.guards.content_words import FUNCTION, Content, unmatched
from refrain.streams.guards.item import WORDLY, Item, Said
from refrain.streams.guards.lexicon import words
from refrain.streams.guards.once import Once
from refrain.streams.guards.roles import ENDS

_LITERAL = frozenset(("url", "email", "path", "version"))
_TITLE_SHARE = 0.7
"""From this share of capitals on, they are the style of the text and name nothing."""
EXTRA_MAX = 2
"""Words that one of two statements may have more than the other."""
_ASKING = frozenset("who whom whose what which when where why how".split())
_REQUESTS = words("requests") | words("instructions")
_POINTING = frozenset(("this", "these"))
_PERSONAL = frozenset("i me my mine you your yours we us our please let".split())
_FINITE = frozenset(
    "is are was were be been being has have had does do did will would can could may must should".split()
)
SORTS = words("sorts")
"""Words that say of what sort a thing is that is named beside them."""
_CONSUMING = frozenset("eating drinking taking consuming".split())
"""What is done with food and medicine, where they are asked about."""
_STATING = frozenset(
    "state mention specify provide outline enumerate cite convert calculate compute translate write compose create"
    " draft generate".split()
)
"""Requests that ask for what a question asks for, or for what "give me" does."""
_KEEPING, _FROM = frozenset(("stop", "keep", "prevent")), "from"
_OF_USE, _DO = frozenset(("function", "role", "purpose", "job", "task")), "do"
_KEEP, _WHY, _ING = "keep", "why", "ing"
"""What is done again and again: why do I keep waking up."""
_PLAYING = frozenset("play playing speak speaking".split())
_LEARNING = frozenset("learn start begin practic teach".split())
"""Stems of what is done with an instrument or a language, which goes without saying: learn to play the piano."""
_FIND, _WHERE = "find", "where"
_APPOSED_MAX = 4
"""Words from an article to what it is an article of."""
_NO_SUBJECT = _FINITE | _ASKING | _REQUESTS


class Names:
    """Names in a text by their folded form, and its content words."""

    def __init__(self, said: Said, used: frozenset[int], content: Content) -> None:
        """Those of a text; `used` are items that are parts of numbers."""
        self._said = said
        self._used = used
        self.content = content

    @Once
    def named(self) -> dict[str, Item]:
        """Words that name something, by their folded form."""
        items, used = self._said.items, self._used
        named = {item.low: item for at, item in enumerate(items) if item.is_name and at not in used}
        return {} if named and is_title([item for item in items if item.kind in WORDLY]) else named

    @Once
    def literal(self) -> dict[str, str]:
        """Addresses, paths and versions, which must be the same."""
        if _LITERAL.isdisjoint(self._said.kinds):
            return {}
        free = (item for at, item in enumerate(self._said.items) if at not in self._used)
        return {item.low: item.text for item in free if item.kind in _LITERAL}

    @Once
    def pointing(self) -> str:
        """The word that points at something the text does not name: this, these."""
        return _pointing(self._said)

    @Once
    def statement(self) -> bool:
        """Whether it describes something. A question or a request selects: a word more asks for something else."""
        return _is_statement(self._said.lows)

    @property
    def lows(self) -> Sequence[str]:
        """Its items, folded."""
        return self._said.lows

    @property
    def does(self) -> bool:
        """Whether it ends with "do": what does the liver do."""
        return _DO in [low for low in self._said.lows[-2:] if low not in ENDS][-1:]

    def is_apposed(self, item: Item) -> bool:
        """Whether a word says no more than a text without it: the pandas library, eating bananas, state the law."""
        items = self._said.items
        if item.low in SORTS:
            return any(each is item and _is_apposed(items, at) for at, each in enumerate(items))
        if item.low in _CONSUMING:
            return any(each is item and _is_before(items, at) for at, each in enumerate(items[:-1]))
        if item.low == _FIND:
            return _WHERE in self._said.lows
        if item.low == _KEEP:
            return _WHY in self._said.lows and any(x is item and y.low.endswith(_ING) for x, y in pairwise(items))
        if item.low in _PLAYING:
            return any(each is item and _is_learnt(items, at) for at, each in enumerate(items[:-1]))
        return item.initial and item.low in _STATING and items[0] is item


def are_named(a: Names, b: Names, words: Sequence[str]) -> bool:
    """Whether one of the words names a thing in a text, rather than saying something of it."""
    said = frozenset(words)
    return any(
        not said.isdisjoint(texts)
        for names in (a, b)
        for texts in (names.literal.values(), [item.text for item in names.named.values()])
    )


def differences(a: Names, b: Names, english: bool) -> tuple[str, ...]:
    """Differences: names and content words that only one text has."""
    if a.literal or b.literal:
        apart = [a.literal[low] for low in a.literal.keys() - b.literal.keys()]
        apart += [b.literal[low] for low in b.literal.keys() - a.literal.keys()]
        if apart:
            return tuple(sorted(apart))
    if english and bool(a.pointing) != bool(b.pointing):
        return (a.pointing or b.pointing,)
    mine, theirs = unmatched(a.content, b.content)
    if not mine and not theirs:
        return ()
    if english and mine and theirs:
        if len(mine) == len(theirs) == 1 and _are_kept(a, b, mine[0], theirs[0]):
            return ()
    elif english:
        text, other = (a, b) if mine else (b, a)
        mine, theirs = [
            [item for item in each if not (text.is_apposed(item) or _is_of_use(item, other))] for each in (mine, theirs)
        ]
        if not mine and not theirs:
            return ()
    names = [i.text for i in mine if i.low in a.named] + [i.text for i in theirs if i.low in b.named]
    if names or not english:
        return tuple(names)
    if a.statement and b.statement and not (mine and theirs) and len(mine) + len(theirs) <= EXTRA_MAX:
        return ()
    return tuple(item.text for item in (*mine[:3], *theirs[:3]))


def _is_of_use(item: Item, other: Names) -> bool:
    """Whether a word says what a text is about that asks what a thing does: the function of the liver."""
    return item.stem in _OF_USE and other.does


def _is_learnt(items: Sequence[Item], at: int) -> bool:
    """Whether an instrument or a language stands behind a word, before which it is said that somebody learns it."""
    return items[at + 1].kind in WORDLY and any(item.stem in _LEARNING for item in items[:at])


def _are_kept(a: Names, b: Names, one: Item, other: Item) -> bool:
    """Whether two verbs say that something is kept from happening: stop it from barking, keep it from barking."""
    if one.stem not in _KEEPING or other.stem not in _KEEPING:
        return False
    return all(_FROM in names.lows for names in (a, b))


def _is_apposed(items: Sequence[Item], at: int) -> bool:
    start = at
    while start and items[start - 1].low in SORTS:
        start -= 1
    before = items[start - 1] if start else None
    if before is None or before.kind not in WORDLY:
        return False
    follows = at + 1 < len(items) and items[at + 1].is_salient and items[at + 1].kind in WORDLY
    if follows or before.low == "the":
        return follows and before.low == "the"
    if before.is_name or before.is_code:
        return True
    return before.is_salient and any(item.low == "the" for item in items[max(0, start - _APPOSED_MAX) : start - 1])


def _is_before(items: Sequence[Item], at: int) -> bool:
    """Whether a thing stands behind a word."""
    return items[at + 1].kind in WORDLY and items[at + 1].is_salient


def _pointing(said: Said) -> str:
    """Demonstrative (this, these) of the first sentence; later ones may point at what that one names."""
    if _POINTING.isdisjoint(said.lows):
        return ""
    for item in said.items:
        if item.low in _POINTING:
            return item.text
        if item.low in ENDS:
            break
    return ""


def _is_statement(lows: Sequence[str]) -> bool:
    if not lows or "?" in lows or lows[0] in _NO_SUBJECT or not _PERSONAL.isdisjoint(lows):
        return False
    return not _FINITE.isdisjoint(lows)


def is_name(item: Item) -> bool:
    """Whether a word names something, as it is written: an identifier, a capital where none is due."""
    if item.kind not in WORDLY:
        return False
    if item.text.islower() and item.text.isalpha() and item.kind == "word":
        return False
    if item.kind != "word" or any(c.isdigit() for c in item.text):
        return True
    if item.low in FUNCTION:
        return False
    capitals = sum(c.isupper() for c in item.text)
    return capitals >= 2 or (capitals == 1 and not item.initial)


def is_title(words: Sequence[Item]) -> bool:
    """Whether capitals are the style of a text, as of a title, and name nothing."""
    later = [item for item in words if not item.initial and item.low not in FUNCTION]
    return len(later) > 2 and sum(item.text[:1].isupper() for item in later) >= _TITLE_SHARE * len(later)
