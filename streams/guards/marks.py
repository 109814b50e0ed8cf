"""Marks: signs that stand alone within a line, as those do that a text speaks of: what does ./ mean, ? or !."""

from __future__ import annotations

import re

from refrain.streams.guards.item import Said

_MARK = re.compile(r"(?<=\S )[^\w\s]+(?=\s|$)")
_BEFORE_MAX = 40
"""Characters before a dash in which the word before it is looked for."""
_STOPS = "?.!,"
_DASH = " -"
_DASHES = frozenset(("-", "--", "---", "\u2013", "\u2014", "&", "*", "/"))
_SPEAKING = frozenset("do does the a an is use of between or and type write escape put".split())
"""Words behind which a dash is spoken of, and parts no sentence: what does -- do."""
_PLAIN = frozenset(("word", "number", "stop", "dotted", "sharp"))
_ENDING = frozenset("?.!,;:\u2026")
_NONE: frozenset[str] = frozenset()


def read_marks(said: Said, text: str) -> frozenset[str]:
    """Extract the runs of signs between blanks; nothing from most texts, whose only sign ends them."""
    if said.kinds <= _PLAIN and _ENDING.isdisjoint(said.lows[:-1]) and _DASH not in text:
        return _NONE
    found = [_mark(text, match) for match in _MARK.finditer(text)]
    return frozenset(filter(None, found)) if found else _NONE


def differences(a: frozenset[str], b: frozenset[str]) -> tuple[str, ...]:
    """Differences: signs in the place of others. One more may be a mark that the other writer leaves out."""
    return tuple(sorted(a ^ b)) if a - b and b - a else ()


def _mark(text: str, match: re.Match[str]) -> str:
    """A run of signs without the mark that ends the text; "" for a dash that is not spoken of."""
    mark = match[0]
    if mark in _DASHES:
        before = text[max(0, match.start() - _BEFORE_MAX) : match.start()].split()
        return mark if before and before[-1].lower() in _SPEAKING else ""
    return (mark.rstrip(_STOPS) or mark) if match.end() == len(text) else mark
