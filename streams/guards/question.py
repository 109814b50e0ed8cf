"""The guard `question`: both questions ask for the same kind of answer: who, when, how many, how to, whether."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from refrain.streams.guards.content_words import FUNCTION
from refrain.streams.guards.item import LOW, STEM, Item, Said
from refrain.streams.guards.lexicon import Phrases, groups, pairs, words

NONE = "none"
_MOODS = {word: mood for mood, line in enumerate(groups("moods")) for word in line}
_JOINING = frozenset("who whom whose which when where".split())
"""Question words that also join a clause to what it describes."""
_LEADING = words("leading_words") | {","}
_SKIPPED = frozenset(
    "good best easy easiest quick simple right correct proper main common usual fast fastest some certain various"
    " different few possible effective efficient".split()
)
"""Words between those of an opening: what is the (best) way to."""
_REQUESTS = words("requests")
_VAGUE = frozenset(("what", "which"))
_BEING = frozenset(("is", "are"))
_TIMED = frozenset("who when where count amount yesno".split())
"""Kinds whose answer depends on the time that is asked about."""
_MEASURES = frozenset("count amount duration frequency distance age height size speed depth width".split())
"""Kinds whose answer is a number."""
_PRESENT, _PAST, _FUTURE = range(3)


class Kind(NamedTuple):
    """The kind of a question and the words that say so; its mood is that of its first auxiliary verb."""

    kind: str
    text: str
    mood: int = -1
    mood_text: str = ""


class Opening(NamedTuple):
    """Kind asked for by words of question_types.txt; `where` is "", "^" (opens a sentence) or "~" (anywhere)."""

    kind: str
    where: str


_OPENINGS = Phrases(
    (left.lstrip("^~").split(), Opening(kind, left[0] if left[0] in "^~" else ""))
    for left, kind in pairs("question_types")
)
_COMPATIBLE = frozenset(frozenset(pair) for pair in groups("compatible_types"))


def read_kind(said: Said) -> Kind:
    """Classify the first question in a text."""
    plain, lows = said.items, said.lows
    if not _SKIPPED.isdisjoint(map(STEM, plain)):
        plain = [item for item in plain if item.kind != "word" or item.stem not in _SKIPPED]
        lows = list(map(LOW, plain))
    asked: Kind | None = None
    meant: Kind | None = None
    end: int | None = None
    for at in _OPENINGS.openings(lows):
        if end is not None and at > end:
            break
        opening = _opening(plain, lows, at)
        if opening is None:
            continue
        kind, text = opening.kind, plain[at].text
        if opening.where == "~":
            meant = meant or Kind(kind, text)
        elif kind == "yesno":
            asked = asked or _with_mood(kind, plain, at)
        elif (asked is None or asked.kind == "yesno") and not _is_relative(plain, at, asked is not None):
            asked = _with_mood(kind, plain, at)
        if asked is not None and end is None:
            end = lows.index("?", at) if "?" in lows[at:] else len(lows)
    if asked is None or (meant is not None and (asked.kind in _VAGUE or asked.text.lower() in _BEING)):
        return meant or asked or Kind(NONE, "")
    return asked


def _opening(items: Sequence[Item], lows: Sequence[str], at: int) -> Opening | None:
    """What the longest words that may ask here ask for."""
    for _, opening in _OPENINGS.at(lows, at):
        if opening.where != "^" or _opens(items, at):
            return opening
    return None


def _opens(items: Sequence[Item], at: int) -> bool:
    """Whether an auxiliary opens a question, and no request such as "can you explain"."""
    first = items[at].initial or (items[at - 1].low == "," and any(item.low == "?" for item in items))
    follow = [item.low for item in items[at + 1 : at + 4] if item.low != "please"]
    return first and not (len(follow) > 1 and follow[0] == "you" and follow[1] in _REQUESTS)


def _is_relative(items: Sequence[Item], at: int, asked: bool) -> bool:
    """Whether a question word in a sentence only joins a clause: "the man who", "is it safe when"."""
    item = items[at]
    if item.initial or (item.low not in _JOINING and not asked):
        return False
    before = items[at - 1]
    if asked:
        return before.low not in _LEADING or at + 1 == len(items) or items[at + 1].kind == "stop"
    if before.low == ",":
        return all(other.low != "?" for other in items)
    return before.kind == "word" and before.low not in FUNCTION and before.low not in _LEADING


def _with_mood(kind: str, items: Sequence[Item], at: int) -> Kind:
    text = items[at].text
    for item in items[at:]:
        if item.low in _MOODS:
            return Kind(kind, text, _MOODS[item.low], item.text)
    return Kind(kind, text)


def are_measured(a: Kind, b: Kind) -> bool:
    """Whether one question asks for a number, and the other does not."""
    return (a.kind in _MEASURES) != (b.kind in _MEASURES)


def differences(a: Kind, b: Kind) -> tuple[str, ...]:
    """Differences: the question words, when the answer of one cannot serve the other."""
    if a.kind != b.kind:
        return () if frozenset((a.kind, b.kind)) in _COMPATIBLE else (a.text, b.text)
    if a.mood == b.mood or min(a.mood, b.mood) < 0:
        return ()
    moods = {a.mood, b.mood}
    strict = (
        a.kind == "yesno" or moods == {_PAST, _FUTURE} or (a.kind in _TIMED and moods <= {_PRESENT, _PAST, _FUTURE})
    )
    return (a.mood_text, b.mood_text) if strict else ()
