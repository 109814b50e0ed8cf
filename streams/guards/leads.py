"""Leads: what a text begins with to say that it asks something (I have no idea how to), which asks for nothing itself.

A lead is told by a grammar, `words/leads.txt`, and by what follows it: a question word, a word that asks for advice, an
auxiliary verb, or a verb that asks for something to be done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from refrain.streams.guards.item import Item, Said
from refrain.streams.guards.items import opening, read_as
from refrain.streams.guards.lexicon import firsts, lines, pattern, words

WORDS_MAX = 16
"""Items of a lead with the word behind it, at most."""
LEADS_MAX = 3
"""Leads that stand one behind another: hey there, I was wondering, do you know."""
_ASKED = "how|what|why|when|where|who|whom|whose|which|whether|if"
_ADVICE = (
    "tips|advice|ideas|suggestions|recommendations|pointers|info|information|details|instructions|guidance|examples"
)
_ASKING = (
    "how|what|why|when|where|who|whom|whose|which|is|are|am|was|were|do|does|did|can|could|will|would|should|has|have|had"
    "|may|might|must|shall"
)
_DOING = "|".join(sorted(words("requests") | words("instructions")))
_SAYING = "="
"""Mark of leads before what is said, and asked whether it is so: is it true that."""
_BEHIND = {"*": _ADVICE, "?": _ASKING, "+": _DOING, _SAYING: r"\S+"}
"""What follows the leads of a line, by its mark."""
_IF, _WHETHER = "if", "whether"


def _parted(line: str) -> tuple[str, str]:
    """What follows the leads of a line, and their grammar."""
    mark, _, rest = line.partition(" ")
    return (_BEHIND[mark], rest) if mark in _BEHIND else (_ASKED, line)


def _patterns(found: Iterable[str]) -> re.Pattern[str]:
    parted = map(_parted, found)
    return re.compile("|".join(f"{pattern(grammar)}(?=(?:{behind}) )" for behind, grammar in parted))


_LEAD = _patterns(line for line in lines("leads") if not line.startswith(_SAYING))
_SO = _patterns(line for line in lines("leads") if line.startswith(_SAYING))
_FIRSTS = frozenset(word for line in lines("leads") for word in firsts(_parted(line)[1]))


def without_lead(said: Said) -> Said:
    """What a text says without its leads."""
    for _ in range(LEADS_MAX):
        lows = said.lows
        if not lows or lows[0] not in _FIRSTS:
            break
        looked = " ".join(lows[:WORDS_MAX]) + " "
        if match := _LEAD.match(looked):
            start = match[0].count(" ")
            said = Said.of([_opening(said.items[start]), *said.items[start + 1 :]])
        elif match := _SO.match(looked):
            start = match[0].count(" ") - 1
            return Said.of([read_as(opening(said.items[start]), _WHETHER), *said.items[start + 1 :]])
        else:
            break
    return said


def _opening(item: Item) -> Item:
    """An item behind a lead as it opens what is asked: "if" asks whether something is so."""
    return read_as(opening(item), _WHETHER) if item.low == _IF else opening(item)
