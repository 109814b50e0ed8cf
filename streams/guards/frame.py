"""Overlap of two texts: Jaccard similarity of their letter trigrams and of the stems of their words.

Two texts of high overlap share a frame: they say the same but for a few words, and those few decide. At equal cosine
similarity more overlap makes the same meaning less likely, not more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from refrain.streams.guards.content_words import FUNCTION
from refrain.streams.guards.item import REMEMBERED, STEM, WORDLY, Item, Said
from refrain.streams.guards.stems import WORD_CHARS_MAX
from refrain.streams.guards.tokens import folded

_IDEOGRAPHS = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_WORDS = re.compile(r"[^\W_]+")
_NONE: frozenset[str] = frozenset()
_COUNTED = WORDLY | {"number", "version", "time", "date"}
_IS_COUNTED = attrgetter("is_counted")
WHOLE = 1_000
"""Overlap of equal texts, in thousandths."""


class Letters(NamedTuple):
    """Letter trigrams of a text, the stems of its words but for function words, and its ideographs."""

    trigrams: frozenset[str]
    stems: frozenset[str]
    signs: frozenset[str]
    """Letters of scripts that write a word with one or two of them."""


class Overlap(NamedTuple):
    """Overlap of two texts in thousandths: `letters` of trigrams, `words` of stems, `signs` of ideographs."""

    letters: int
    words: int
    signs: int = 0
    """0 where either has none."""


EQUAL = Overlap(WHOLE, WHOLE)


def read_letters(said: Said, text: str) -> Letters:
    """Extract trigrams and stems of a text."""
    return Letters(
        _trigrams(_WORDS.findall(folded(text))),
        frozenset(map(STEM, filter(_IS_COUNTED, said.items))),
        _NONE if text.isascii() else frozenset(_IDEOGRAPHS.findall(text)),
    )


def is_counted(item: Item) -> bool:
    """Whether the stem of a word counts in the overlap: it is no function word."""
    return item.kind in _COUNTED and item.low not in FUNCTION


def _trigrams(words: Sequence[str]) -> frozenset[str]:
    """Trigrams of the words with one blank before, between and behind them."""
    across = [f"{x[-1]} {y[0]}" for x, y in pairwise(words)]
    longest = max(map(len, words), default=0)
    return _NONE.union(across, *map(_of_word if longest <= WORD_CHARS_MAX else _inside, words))


def _inside(word: str) -> frozenset[str]:
    padded = f" {word} "
    return frozenset([padded[at : at + 3] for at in range(len(padded) - 2)])


_of_word = lru_cache(maxsize=REMEMBERED)(_inside)
"""Texts share the trigrams of their words: that is most of them, and most of what a reading holds."""


def overlap(a: Letters, b: Letters) -> Overlap:
    """Overlap of two texts (Jaccard, 1901: what both have by what any has); two texts without words overlap wholly."""
    signs = _jaccard(a.signs, b.signs) if a.signs and b.signs else 0
    return Overlap(_jaccard(a.trigrams, b.trigrams), _jaccard(a.stems, b.stems), signs)


def _jaccard(a: frozenset[str], b: frozenset[str]) -> int:
    both = len(a & b)
    of = len(a) + len(b) - both
    return WHOLE if of == 0 else WHOLE * both // of
