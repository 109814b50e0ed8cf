"""Stutter: a little word that is written twice in a row (is is it true, of the the): it says no more than once."""

from __future__ import annotations

from operator import eq

from refrain.streams.guards.content_words import FUNCTION
from refrain.streams.guards.item import Said

_TWICE = frozenset("no not very so had that s t d m".split())
"""Little words that may stand twice in a row and mean it: that that is so, not not."""
_STUTTERED = FUNCTION - _TWICE


def without_stutter(said: Said) -> Said:
    """What a text says, each little word once where it stands twice in a row."""
    lows = said.lows
    if not any(map(eq, lows, lows[1:])):
        return said
    kept = [item for at, item in enumerate(said.items) if not (at and lows[at - 1] == item.low in _STUTTERED)]
    return said if len(kept) == len(lows) else Said.of(kept)
