"""What asks for something else where it is all that differs: can and does, is and was, a word in a preposition's place.

Where more is worded otherwise such a word goes with the wording, and says the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from refrain.streams.guards.item import Word
from refrain.streams.guards.small_words import SmallWords

_PLACING = frozenset(
    "from to into onto toward before until after since over above under below without with by for in inside within on"
    " at of about through across along between among off up down around near behind during beyond".split()
)
"""Prepositions; another word in the place of one is as a rule another preposition: past, alongside, aboard."""
_MODALS = frozenset("can could should must may might duty".split())
_OF_ANYBODY = frozenset("i you we one someone anyone peopl howto be is".split())
"""Words of a text in which a modal says no more than that it is asked for: how can I, how do I."""
_TIMES = {"is", "was"}
_EXPERIENCE = frozenset("you your ever most best worst first".split())
"""Words of what is the same whenever it is told: what is, or was, your worst mistake."""


def alone(a: SmallWords, b: SmallWords, changed: Iterable[Word]) -> list[str]:
    """The words of the only place at which two texts differ, where they ask for something else."""
    if a.content != b.content:
        return _governing(a, b)
    said = {word.key for word in changed}
    if len(said) == 1 and said <= _MODALS:
        return [*said] if _OF_ANYBODY.isdisjoint(a.counted) and _OF_ANYBODY.isdisjoint(b.counted) else []
    return sorted(said) if said == _TIMES and _EXPERIENCE.isdisjoint(a.counted) else []


def _governing(a: SmallWords, b: SmallWords) -> list[str]:
    """A word of meaning in the place of a preposition, all the rest being the same: go past Leeds, go to Leeds."""
    if len(a.keys) != len(b.keys):
        return []
    apart = [(m, t) for m, t in zip(a.words, b.words, strict=True) if m.key != t.key]
    if len(apart) != 1 or apart[0][0].content == apart[0][1].content:
        return []
    return [word.text for word in apart[0]] if any(word.key in _PLACING for word in apart[0]) else []
