"""The kind of answer that a question asks for: who, when, how many, how to, whether."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from streams.guards.content import FUNCTION
from streams.guards.items import Item
from streams.guards.words import groups, pairs

NONE = "none"


_MOODS = {word: mood for mood, line in enumerate(groups("moods")) for word in line}
_TIMED = frozenset("who when where count amount yesno".split())
"""Kinds whose answer depends on the time that is asked about."""
_PRESENT, _PAST, _FUTURE = range(3)


class Kind(NamedTuple):
    """The kind of a question and the words that say so; its mood is that of its first auxiliary verb."""

    kind: str
    text: str
    mood: int = -1
    mood_text: str = ""


def _openings() -> dict[str, list[tuple[tuple[str, ...], str, bool]]]:
    found: dict[str, list[tuple[tuple[str, ...], str, bool]]] = defaultdict(list)
    for left, kind in pairs("question_types"):
        said = tuple(left.lstrip("^").split())
        found[said[0]].append((said, kind, left.startswith("^")))
    return {first: sorted(rest, key=lambda entry: -len(entry[0])) for first, rest in found.items()}


_OPENINGS = _openings()
_COMPATIBLE = frozenset(frozenset(pair) for pair in groups("compatible_types"))
_JOINING = frozenset("who whom whose which when where".split())
_LEADING = frozenset(
    "me us tell know explain show say see understand wonder ask describe learn find determine check about to of on and"
    " or in at for from by , figure remember guess decide".split()
)
"""Words after which a question word asks, also within a sentence."""
_SKIPPED = frozenset("good best easy quick simple right correct proper main common usual fast".split())


def read_kind(items: Sequence[Item]) -> Kind:
    """The kind of the first question in a text."""
    plain = [item for item in items if item.kind != "word" or item.stem not in _SKIPPED]
    lows = [item.low for item in plain]
    asked: Kind | None = None
    for at, item in enumerate(plain):
        for said, kind, opens in _OPENINGS.get(item.low, ()):
            if tuple(lows[at : at + len(said)]) != said or (opens and not item.initial):
                continue
            if kind == "yesno":
                asked = asked or _with_mood(Kind(kind, item.text), plain, at)
            elif not _is_relative(plain, at, asked is not None):
                return _with_mood(Kind(kind, item.text), plain, at)
            break
    return asked or Kind(NONE, "")


def _is_relative(items: Sequence[Item], at: int, asked: bool) -> bool:
    """Whether a question word in a sentence only joins a clause: "the man who", "is it safe when"."""
    item = items[at]
    if item.initial or (item.low not in _JOINING and not asked):
        return False
    before = items[at - 1]
    if asked:
        return before.low not in _LEADING
    return before.kind == "word" and before.low not in FUNCTION and before.low not in _LEADING


def _with_mood(kind: Kind, items: Sequence[Item], at: int) -> Kind:
    found = next((item for item in items[at:] if item.low in _MOODS), None)
    return kind if found is None else kind._replace(mood=_MOODS[found.low], mood_text=found.text)


def differing(a: Kind, b: Kind) -> tuple[str, ...]:
    """The question words, when the answer of one cannot serve the other."""
    if a.kind != b.kind:
        return () if frozenset((a.kind, b.kind)) in _COMPATIBLE else (a.text, b.text)
    if a.mood == b.mood or min(a.mood, b.mood) < 0:
        return ()
    moods = {a.mood, b.mood}
    strict = a.kind == "yesno" or moods == {_PAST, _FUTURE} or (a.kind in _TIMED and moods <= {_PRESENT, _PAST, _FUTURE})
    return (a.mood_text, b.mood_text) if strict else ()
