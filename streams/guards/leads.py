"""Leads: what a text begins with to say that it asks something (I have no idea how to), which asks for nothing itself.

A lead is told by a grammar, `words/leads.txt`, and by what follows it: a question word, or a word that asks for advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from refrain.streams.guards.item import Said
from refrain.streams.guards.items import opening
from refrain.streams.guards.lexicon import lines

WORDS_MAX = 16
"""Items of a lead with the word behind it, at most."""
_ASKED = "how|what|why|when|where|who|whom|whose|which"
_ADVICE = (
    "tips|advice|ideas|suggestions|recommendations|pointers|info|information|details|instructions|guidance|examples"
)
_ADVISING = "* "
_PLACE = re.compile(r"\(([^()]*)\)|(\S+)")


def _pattern(line: str) -> str:
    """A line of the grammar as a pattern of words with a blank behind each."""
    found = ""
    for match in _PLACE.finditer(line):
        said = (match[1] or match[2]).split("|")
        words = "|".join(f"{each} " for each in said if each)
        found += f"(?:{words})?" if "" in said else f"(?:{words})"
    return found


def _patterns() -> Iterator[str]:
    for line in lines("leads"):
        behind = _ADVICE if line.startswith(_ADVISING) else _ASKED
        yield f"{_pattern(line.removeprefix(_ADVISING))}(?=(?:{behind}) )"


def _firsts() -> frozenset[str]:
    """Words with which a lead may begin: the first place of each line is never empty."""
    places = (_PLACE.match(line.removeprefix(_ADVISING)) for line in lines("leads"))
    return frozenset(word for place in places if place is not None for word in (place[1] or place[2]).split("|"))


_LEAD = re.compile("|".join(_patterns()))
_FIRSTS = _firsts()


def without_lead(said: Said) -> Said:
    """What a text says without its lead."""
    lows = said.lows
    if not lows or lows[0] not in _FIRSTS:
        return said
    match = _LEAD.match(" ".join(lows[:WORDS_MAX]) + " ")
    if match is None:
        return said
    start = match[0].count(" ")
    return Said.of([opening(said.items[start]), *said.items[start + 1 :]])
