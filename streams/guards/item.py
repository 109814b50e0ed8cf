"""Items: words, numbers and signs as the guards compare them, each with what can be told from it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

WORDLY = frozenset(("word", "sharp", "dotted"))
"""Kinds of tokens that are words or names."""
REMEMBERED = 16_384
"""Words of which is remembered what guards know of them."""


class Word(NamedTuple):
    """Word of a text as it is compared: its `key` (a stem; of little words the word), and what it is matched by."""

    key: str
    groups: frozenset[int]
    text: str
    content: bool


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A word, number or sign as the guards compare it. `text` is how it stands in the question.

    Texts share the items of words that are written alike, so that each guard looks once at what a word is by itself.
    """

    low: str
    stem: str
    groups: frozenset[int]
    text: str
    kind: str
    initial: bool
    is_salient: bool = False
    """Whether it carries meaning that no other wording could do without."""
    is_name: bool = False
    is_code: bool = False
    may_turn: bool = False
    """Whether it may turn a sentence into its contrary."""
    may_count: bool = False
    """Whether a quantity or a unit may begin with it."""
    word: Word | None = None
    """It as the guard `words` compares it; None where that one passes it over."""
    is_counted: bool = False
    """Whether its stem counts in the overlap of two texts."""
    part: int = 0
    """What it is in a sentence: see `roles.part_of`."""


LOW, STEM, TEXT, KIND, GROUPS = map(attrgetter, ("low", "stem", "text", "kind", "groups"))
"""Getters of items, to be mapped over those of a text."""


class Said(NamedTuple):
    """What a text says: its items, their folded forms, and which kinds of items there are."""

    items: Sequence[Item]
    lows: Sequence[str]
    kinds: frozenset[str]

    @classmethod
    def of(cls, items: Sequence[Item]) -> Said:
        """What items say."""
        return cls(items, list(map(LOW, items)), frozenset(map(KIND, items)))
