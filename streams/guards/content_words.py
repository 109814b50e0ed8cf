"""Content words: the words of a text without grammar and filler, and how those of two texts pair up."""

from __future__ import annotations

from itertools import pairwise
from operator import attrgetter, itemgetter

from refrain.streams.guards.item import GROUPS, LOW, STEM, WORDLY, Item, Said
from refrain.streams.guards.lexicon import words
from refrain.streams.guards.misspellings import EXCHANGED_CHARS_MIN, is_misspelt
from refrain.streams.guards.once import Once
from refrain.streams.guards.stems import related, stem

FUNCTION = words("function_words") | words("negators")
GENERAL = frozenset(stem(word) for word in words("general_words")) | words("general_words")
_IS_SALIENT, _FIRST = attrgetter("is_salient"), itemgetter(0)
_COST, _HOW_MUCH_IS = "cost", frozenset(("how", "much", "is"))
INITIALS_MAX = 4
"""Letters of a name that is made of initials."""
_NO_GROUPS: frozenset[int] = frozenset()


class Content:
    """Content words of a text by stem; `salient` are those that no other wording could do without."""

    def __init__(self, said: Said, used: frozenset[int]) -> None:
        """Extract the content words of a text; `used` are items that are parts of numbers."""
        self.worded = _worded(said, used)
        self.salient: dict[str, Item] = {}
        for item in filter(_IS_SALIENT, self.worded):
            # A word that comes again is told as it is written first, in the place where it stands last.
            self.salient[item.stem] = self.salient.pop(item.stem, item)

    @Once
    def stems(self) -> frozenset[str]:
        """All words, also grammar and filler."""
        return frozenset(map(STEM, self.worded))

    @Once
    def groups(self) -> frozenset[int]:
        """Groups of synonyms of all words."""
        return _NO_GROUPS.union(*map(GROUPS, self.worded))

    @Once
    def lows(self) -> tuple[str, ...]:
        """All words, folded."""
        return tuple(map(LOW, self.worded))

    @Once
    def run(self) -> str:
        """All words written as one."""
        return "".join(self.lows)

    @Once
    def initials(self) -> str:
        """The first letters of all words."""
        return "".join(map(_FIRST, self.lows))


def _worded(said: Said, used: frozenset[int]) -> list[Item]:
    """The items that are words, but for those of numbers."""
    free = [item for at, item in enumerate(said.items) if at not in used] if used else said.items
    return [item for item in free if item.kind in WORDLY]


def is_salient(item: Item) -> bool:
    """Whether a word carries meaning: neither grammar nor filler."""
    return item.low not in FUNCTION and item.stem not in GENERAL and item.low not in GENERAL


def unmatched(a: Content, b: Content) -> tuple[list[Item], list[Item]]:
    """Unmatched words: the salient words of each text that nothing in the other says."""
    mine, theirs = _missing(a, b), _missing(b, a)
    if not mine and not theirs:
        return mine, theirs
    mine, theirs = _spelt_otherwise(mine, a, b), _spelt_otherwise(theirs, b, a)
    if not mine or not theirs:
        if len(mine) + len(theirs) == 1 and _is_price((mine or theirs)[0], b if mine else a):
            return [], []
        return mine, theirs
    near = [(m, t) for m in mine for t in theirs if related(m.stem, t.stem)]
    if not near:
        return mine, theirs
    return (
        [m for m in mine if not any(m is pair[0] for pair in near)],
        [t for t in theirs if not any(t is pair[1] for pair in near)],
    )


def _is_price(apart: Item, other: Content) -> bool:
    """Whether the only word that one text lacks is a "cost", and it asks how much something is: how much is a stamp."""
    return apart.stem == _COST and _HOW_MUCH_IS.issubset(other.lows)


def _spelt_otherwise(apart: list[Item], a: Content, b: Content) -> list[Item]:
    """Unmatched words without those that the other text has, misspelt. Of names nothing can be told: Anderson."""
    firsts = {item.low[:1] for item in apart if len(item.low) >= EXCHANGED_CHARS_MIN and not item.is_name}
    if not firsts:
        return apart
    # A slip leaves the first letter as it is.
    there = [item.low for item in b.worded if item.low[:1] in firsts and item.stem not in a.stems and not item.is_name]
    if not there:
        return apart
    return [item for item in apart if item.is_name or not any(is_misspelt(item.low, low) for low in there)]


def _missing(a: Content, b: Content) -> list[Item]:
    if not (apart := [item for root, item in a.salient.items() if root not in b.stems]):
        return apart
    apart = [item for item in apart if item.groups.isdisjoint(b.groups)]
    if apart and (spelt := _spelt_out(a, b)):
        apart = [item for item in apart if item.low not in spelt]
    # Only what occurs somewhere in a run of the other's words or initials may be part of two of them or of one.
    if not any(item.low in b.run or item.stem in b.run or item.low in b.initials for item in apart):
        return apart
    joined, whole = _joined(b), _joined(a).intersection((*b.lows, *b.stems))
    return [
        item
        for item in apart
        if not (item.low in joined or item.stem in joined)
        and not any(item.low in word or item.stem in word for word in whole)
    ]


def _spelt_out(a: Content, b: Content) -> frozenset[str]:
    """Words of a text of which the other has the initials, as a name: human resources, HR."""
    found: set[str] = set()
    for root, item in b.salient.items():
        size = len(item.low)
        if root in a.stems or not (2 <= size <= INITIALS_MAX and item.text.isupper()):
            continue
        at = a.initials.find(item.low)
        while at >= 0:
            found.update(a.lows[at : at + size])
            at = a.initials.find(item.low, at + 1)
    return frozenset(found)


def _joined(a: Content) -> frozenset[str]:
    """Neighbouring words written as one, and initials of neighbouring words: data base, paint brushes."""
    lows = a.lows
    initials = "".join(map(_FIRST, lows))
    runs = {initials[at : at + size] for size in range(2, INITIALS_MAX + 1) for at in range(len(initials) - size + 1)}
    runs.update(x.low + y.stem for x, y in pairwise(a.worded))
    return frozenset(runs.union(x + y for x, y in pairwise(lows)))
