"""Content words: the words of a text without grammar and filler, and how those of two texts pair up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from refrain.streams.guards.items import WORDLY, Item
from refrain.streams.guards.lexicon import words
from refrain.streams.guards.stems import related, stem

FUNCTION = words("function_words") | words("negators")
GENERAL = frozenset(stem(word) for word in words("general_words")) | words("general_words")


class Content(NamedTuple):
    """Content words of a text by stem; `salient` are those that no other wording could do without."""

    salient: dict[str, Item]
    stems: frozenset[str]
    """All words, also grammar and filler."""
    groups: frozenset[int]
    lows: tuple[str, ...]


def read_content(items: Sequence[Item], used: frozenset[int]) -> Content:
    """Extract the content words of a text; `used` are items that are parts of numbers."""
    worded = [item for at, item in enumerate(items) if item.kind in WORDLY and at not in used]
    kept = [item for item in worded if item.low not in FUNCTION]
    salient = {item.stem: item for item in reversed(kept) if item.stem not in GENERAL and item.low not in GENERAL}
    return Content(
        dict(reversed(salient.items())),
        frozenset(item.stem for item in worded),
        frozenset(group for item in worded for group in item.groups if item.stem != "be"),
        tuple(item.low for item in worded),
    )


def unmatched(a: Content, b: Content) -> tuple[list[Item], list[Item]]:
    """Unmatched words: the salient words of each text that nothing in the other says."""
    mine, theirs = _missing(a, b), _missing(b, a)
    if not mine or not theirs:
        return mine, theirs
    near = [(m, t) for m in mine for t in theirs if related(m.stem, t.stem)]
    return (
        [m for m in mine if not any(m is pair[0] for pair in near)],
        [t for t in theirs if not any(t is pair[1] for pair in near)],
    )


def _missing(a: Content, b: Content) -> list[Item]:
    apart = [item for root, item in a.salient.items() if root not in b.stems and not (item.groups & b.groups)]
    return [item for item in apart if item.low not in _joined(b.lows) and not _is_part(item.low, a, b)] if apart else []


def _is_part(low: str, a: Content, b: Content) -> bool:
    """Whether the word is a part of one that the other text writes as one."""
    return any(word in b.lows and low in word for word in _joined(a.lows))


@lru_cache(maxsize=4_096)
def _joined(lows: tuple[str, ...]) -> frozenset[str]:
    """Neighbouring words written as one, and initials of neighbouring words: data base, machine learning."""
    initials = "".join(low[0] for low in lows)
    runs = {initials[at : at + size] for size in (2, 3, 4) for at in range(len(initials) - size + 1)}
    return frozenset(runs.union(x + y for x, y in pairwise(lows)))
