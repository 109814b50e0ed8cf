"""Requests: what opens a text that asks for something to be written, in one word for all: draft a, make me a."""

from __future__ import annotations

from refrain.streams.guards.item import Said
from refrain.streams.guards.items import read_as

_READ_AS = dict.fromkeys("make create generate compose draft craft produce".split(), "write") | {"show": "give"}
"""Verbs by what they ask for where they open a request of something new."""
_TO_WHOM = frozenset(("me", "us"))
_SOME = frozenset(("a", "an", "some"))
_FOR_HIM = frozenset(("give",))
"""What is asked for with "me" alone: show me a, not show a."""


def with_one_verb(said: Said) -> Said:
    """What a text says, with one verb for all that ask for something new to be written."""
    lows = said.lows
    meant = _READ_AS.get(lows[0]) if len(lows) > 2 else None
    if meant is None:
        return said
    to_whom = lows[1] in _TO_WHOM
    if lows[1 + to_whom] not in _SOME or (meant in _FOR_HIM and not to_whom):
        return said
    return Said.of([read_as(said.items[0], meant), *said.items[1:]])
