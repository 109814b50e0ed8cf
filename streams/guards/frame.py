"""Overlap of two texts: Jaccard similarity of their letter trigrams and of the stems of their words.

Two texts of high overlap share a frame: they say the same but for a few words, and those few decide. At equal cosine
similarity more overlap makes the same meaning less likely, not more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from refrain.streams.guards.content_words import FUNCTION
from refrain.streams.guards.items import WORDLY, Item
from refrain.streams.guards.tokens import folded

_IDEOGRAPHS = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_APART = re.compile(r"[\W_]+")
_COUNTED = WORDLY | {"number", "version", "time", "date"}
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


def read_letters(items: Sequence[Item], text: str) -> Letters:
    """Extract trigrams and stems of a text."""
    padded = f" {_APART.sub(' ', folded(text)).strip()} "
    return Letters(
        frozenset(padded[at : at + 3] for at in range(len(padded) - 2)),
        frozenset(item.stem for item in items if item.kind in _COUNTED and item.low not in FUNCTION),
        frozenset(_IDEOGRAPHS.findall(text)),
    )


def overlap(a: Letters, b: Letters) -> Overlap:
    """Overlap of two texts (Jaccard, 1901: what both have by what any has); two texts without words overlap wholly."""
    signs = _jaccard(a.signs, b.signs) if a.signs and b.signs else 0
    return Overlap(_jaccard(a.trigrams, b.trigrams), _jaccard(a.stems, b.stems), signs)


def _jaccard(a: frozenset[str], b: frozenset[str]) -> int:
    both = len(a & b)
    of = len(a) + len(b) - both
    return WHOLE if of == 0 else WHOLE * both // of
