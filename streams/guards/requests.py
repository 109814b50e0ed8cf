"""Requests: what opens a text that asks for something new, or for a list, in one word for all: draft a, make me a."""

from __future__ import annotations

import re

from refrain.streams.guards.item import Said
from refrain.streams.guards.items import opening, read_as
from refrain.streams.guards.lexicon import firsts, pattern

_WRITE, _LIST = "write", "list"
_MAKING = frozenset("make create generate compose draft craft produce".split())
"""Verbs that say no more where they open such a request."""
_TO_WHOM = frozenset(("me", "us"))
_SOME = frozenset(("a", "an", "some"))
_WAYS = (
    "(|can you|could you|would you|will you) (|please) (give|show|get|make|write|create|provide|send|tell)"
    " (|me|us) (|with) (|a|the) (|complete|full) list of",
    "(i|we) (need|want|would like|would love) (a|the) (|complete|full) list of",
    "(can|could|may) (i|we) (get|have|see) (a|the) (|complete|full) list of",
    "(do you have|is there|have you got) (a|the) (|complete|full) list of",
)
"""Ways to ask for a list of things."""
_LISTING = re.compile("|".join(map(pattern, _WAYS)))
_OPENING = _MAKING.union(*map(firsts, _WAYS))
_WORDS_MAX = 10
"""Items of such a way, at most."""


def as_asked(said: Said) -> Said:
    """What a text says, with one verb for all that ask for something new, and for all that ask for a list."""
    lows = said.lows
    if len(lows) < 3 or lows[0] not in _OPENING:
        return said
    if match := _LISTING.match(" ".join(lows[:_WORDS_MAX]) + " "):
        end = match[0].count(" ")
        behind = said.items[end + (lows[end : end + 1] == ["the"]) :]
        return Said.of([read_as(opening(said.items[0]), _LIST), read_as(said.items[end - 1], "the"), *behind])
    if lows[0] in _MAKING and lows[1 + (lows[1] in _TO_WHOM)] in _SOME:
        return Said.of([read_as(said.items[0], _WRITE), *said.items[1:]])
    return said
