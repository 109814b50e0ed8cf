"""The guard `question`: both questions ask for the same kind of answer: who, when, how many, how to, whether."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from refrain.streams.guards.content_words import FUNCTION
from refrain.streams.guards.item import LOW, STEM, Item, Said
from refrain.streams.guards.lexicon import Phrases, alternatives, groups, pairs, words
from refrain.streams.guards.roles import ENDS as _ENDS
from refrain.streams.guards.roles import is_choice

NONE, KEYWORDS, THING = "none", "keywords", "thing"
_SAID = "said"
"""Kind of a text without a word that asks, behind which a question mark stands: penguins have knees?"""
KEYWORDS_MAX = 6
"""Words of a text that is a few words of meaning alone, at most."""
_MOODS = {word: mood for mood, line in enumerate(groups("moods")) for word in line}
_JOINING = frozenset("who whom whose which when where".split())
"""Question words that also join a clause to what it describes."""
_WHENEVER = frozenset(("when", "where", "whenever", "wherever"))
"""Question words that also open a clause before the question."""
_ASKING = _JOINING | frozenset(("what", "why", "how"))
_LEADING = words("leading_words") | {","}
_LEADING_ON = words("leading_on") | words("harmless") | {","}
"""Words that may stand before the one that opens a question."""
_SKIPPED = frozenset(
    "good best easy easiest quick simple right correct proper main common usual fast fastest some certain various"
    " different few possible effective efficient".split()
)
"""Words between those of an opening: what is the (best) way to."""
_REQUESTS = words("requests")
_VAGUE = frozenset(("what", "which"))
_BEING = frozenset(("is", "are"))
_COPULAS = _BEING | {"was", "were"}
_TIMED = frozenset("who when where count amount yesno".split())
"""Kinds whose answer depends on the time that is asked about."""
_CHOICE = "choice"
_WHEN_KIND = frozenset(("when",))
_HOW, _WHAT, _DEGREE = "how", "what", "degree"
_LIKE, _LIKENED = "like", "likened"
_YESNO_KIND = "yesno"
_YESNO = frozenset((_YESNO_KIND, "exists", _CHOICE))
_ASKED_SO = _YESNO | {_SAID}
"""Kinds that ask whether something is so."""
_BEFORE_CLAUSES = frozenset(
    "for during in on at after before with without if as while from by since once unless until within under".split()
)
"""Words that open what stands before a question: during the holidays can I book?"""
_PRONOUNS = frozenset("i you we they he she it there one".split())
_MEASURES = frozenset("count amount duration frequency distance age height size speed depth width".split())
"""Kinds whose answer is a number."""
_PRESENT, _PAST, _FUTURE, _ABILITY = range(4)
_EITHER = len(groups("moods"))
"""Mood of "is it safe to": it says what is, and what can be done."""
_FITTING = frozenset("safe ok okay alright legal fine acceptable permissible feasible healthy possible".split())
EFFECTS = frozenset(
    "caus trigger affect lead help harm hurt damag prevent cure reduc increas improv worsen lower rais boost ease"
    " reliev expir spoil rust melt shrink fade rot explod leak warp mold decay corrod evaporat stain".split()
)
"""Stems of what something does, or what becomes of it, where it says the same that it can: can tea cause insomnia."""
_MAKES, _TO_WHOM = frozenset(("make", "makes")), frozenset("me you us people someone him her them".split())
_DO = frozenset(("do", "does"))
_AFFECTING = _DO | frozenset("can could may might will would".split())
_DOING = _DO | {"did"}
"""Words behind a question word that asks: in spring when does it open?"""
_HAVING, _WHETHER = frozenset(("have", "has", "had")), "whether"
_COSTS, _COSTING = frozenset(("amount", "duration", "what")), frozenset(("cost", "take"))
_DUTY = frozenset(("have", "need"))
_PERIPHRASES = {
    "allowed": "can", "able": "can", "permitted": "can", "required": "must", "supposed": "must", "obliged": "must",
    "going": "will",
}  # fmt: skip
"""What "be ... to" says by the word between: are students allowed to, is he supposed to."""
_CHOSEN = frozenset("best worst top good great".split())
"""Words before a thing that is asked for by its name alone."""
_OF_THINGS = frozenset("for of between".split())
"""Words behind such a thing: difference between."""
_SAYING = _COPULAS | _DOING | _HAVING | frozenset(_MOODS)
"""Words by one of which a sentence says something."""
_APART = 8
"""Words among which what stands behind an auxiliary verb is looked for."""


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
    for line, kind in pairs("question_types")
    for left in alternatives(line)
)
_COMPATIBLE = frozenset(frozenset(pair) for pair in groups("compatible_types"))


def read_kind(said: Said) -> Kind:
    """Classify the first question in a text."""
    plain, lows = said.items, said.lows
    if not _SKIPPED.isdisjoint(map(STEM, plain)):
        # How fast, how common is asked behind "how".
        plain = [
            item
            for at, item in enumerate(plain)
            if item.kind != "word" or item.stem not in _SKIPPED or (at and plain[at - 1].low == _HOW)
        ]
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
        elif kind in _YESNO:
            asked = asked or _with_mood(kind, plain, at)
        elif (asked is None or asked.kind in _YESNO) and not _is_relative(plain, at, asked is not None):
            asked = _with_mood(kind, plain, at)
        if asked is not None and end is None:
            end = lows.index("?", at) if "?" in lows[at:] else len(lows)
    if asked is not None and asked.kind == _HOW and _is_degree(plain, asked.text):
        asked = asked._replace(kind=_DEGREE)
    if asked is not None and asked.kind == _WHAT and _is_likened(lows):
        asked = asked._replace(kind=_LIKENED)
    if asked is not None and asked.kind in _YESNO and is_choice(said.lows):
        asked = asked._replace(kind=_CHOICE)
    if asked is None and meant is None and lows[-1:] == ["?"] and not _is_keywords(said) and not _is_thing(said.lows):
        return _with_mood(_SAID, plain, 0)._replace(text="")
    if asked is None or (meant is not None and (asked.kind in _VAGUE or asked.text.lower() in _BEING)):
        return meant or asked or Kind(KEYWORDS if _is_keywords(said) else THING if _is_named(said.lows) else NONE, "")
    return asked


def _is_likened(lows: Sequence[str]) -> bool:
    """Whether it is asked how something is in other words: what is the weather like in May."""
    at = next((at for at, low in enumerate(lows) if low in _VAGUE), len(lows))
    return lows[at + 1 : at + 2] != [] and lows[at + 1] in _COPULAS and _LIKE in lows[at + 2 :]


def _is_thing(lows: Sequence[str]) -> bool:
    """Whether a text names what is asked for and says nothing of it: best time to visit Norway, recipe for pesto."""
    if not _SAYING.isdisjoint(lows):
        return False
    return lows[0] in _CHOSEN or lows[0].endswith("est") or not _OF_THINGS.isdisjoint(lows[1:2])


def _is_named(lows: Sequence[str]) -> bool:
    """Whether a text names what is asked for, and asks for nothing to be done: author of Dracula, best time to go."""
    return bool(lows) and lows[0] not in _REQUESTS and _is_thing(lows)


def _is_keywords(said: Said) -> bool:
    """Whether a text is a few words of meaning alone, which leave open how it is asked: battery drains fast."""
    if not 1 < len(said.items) <= KEYWORDS_MAX or said.lows[0] in _REQUESTS:
        return False
    return all(item.kind == "word" and item.low not in FUNCTION for item in said.items)


def _is_degree(items: Sequence[Item], text: str) -> bool:
    """Whether it is asked how far something is so: how safe is it to, how hard is Finnish."""
    at = next((at for at, item in enumerate(items) if item.text == text), len(items))
    if at + 3 > len(items) or items[at + 2].low not in _BEING:
        return False
    return items[at + 1].kind == "word" and items[at + 1].low not in FUNCTION


def _opening(items: Sequence[Item], lows: Sequence[str], at: int) -> Opening | None:
    """What the longest words that may ask here ask for."""
    for _, opening in _OPENINGS.at(lows, at):
        if opening.where != "^" or _opens(items, at):
            return opening
    return None


def _opens(items: Sequence[Item], at: int) -> bool:
    """Whether an auxiliary opens a question, and no request such as "can you explain"."""
    first = (
        _is_first(items, at)
        or (items[at - 1].low == "," and any(item.low == "?" for item in items))
        or _is_inverted(items, at)
    )
    follow = [item.low for item in items[at + 1 : at + 4] if item.low != "please"]
    return first and not (len(follow) > 1 and follow[0] == "you" and follow[1] in _REQUESTS)


def _is_inverted(items: Sequence[Item], at: int) -> bool:
    """Whether an auxiliary stands before its subject, behind what opens with a preposition: for a trip do I need."""
    if items[0].low not in _BEFORE_CLAUSES or at + 1 == len(items) or items[at + 1].low not in _PRONOUNS:
        return False
    return items[at - 1].low not in _PRONOUNS and all(item.low not in _ASKING for item in items[:at])


def _is_first(items: Sequence[Item], at: int) -> bool:
    """Whether a word opens a sentence, but for words that lead on (so, and): not the "would" of "I'd"."""
    while at and not items[at].initial and items[at - 1].low in _LEADING_ON:
        at -= 1
    if not items[at].initial:
        return False
    return at == 0 or not (items[at - 1].initial and items[at - 1].text == items[at].text)


def _is_relative(items: Sequence[Item], at: int, asked: bool) -> bool:
    """Whether a question word in a sentence only joins a clause: "the man who", "is it safe when"."""
    item = items[at]
    if item.initial and item.low in _WHENEVER and _is_clause(items, at):
        return True
    if item.initial or (item.low not in _JOINING and not asked):
        return False
    if at + 1 < len(items) and items[at + 1].low in _DOING and not asked:
        return False
    before = items[at - 1]
    if asked:
        return before.low not in _LEADING or at + 1 == len(items) or items[at + 1].kind == "stop"
    if before.low == ",":
        return all(other.low != "?" for other in items)
    return before.kind == "word" and before.low not in FUNCTION and before.low not in _LEADING


def _is_clause(items: Sequence[Item], at: int) -> bool:
    """Whether a clause opens a sentence that asks behind its comma: when I travel, do I need a visa?"""
    if at + 1 == len(items) or items[at + 1].low in _MOODS:
        return False
    for place in range(at + 1, len(items) - 1):
        if items[place].low in _ENDS:
            return False
        if items[place].low == "," and (items[place + 1].low in _ASKING or items[place + 1].low in _MOODS):
            return True
    return False


def _with_mood(kind: str, items: Sequence[Item], at: int) -> Kind:
    text = items[at].text
    for place in range(at, len(items)):
        if (low := items[place].low) in _MOODS:
            return Kind(kind, text, _said_otherwise(kind, items, place, low), items[place].text)
    return Kind(kind, text)


def _said_otherwise(kind: str, items: Sequence[Item], at: int, low: str) -> int:
    """The mood of an auxiliary verb, or of what several words say for it: do I have to, am I allowed to."""
    mood = _MOODS[low]
    if mood == _FUTURE and kind in _COSTS and any(item.stem in _COSTING for item in items[at + 1 :]):
        # What it will cost, or would, is what it costs.
        return _PRESENT
    if low in _HAVING and (kind == _SAID or items[0].low == _WHETHER):
        # Whether penguins have knees, whether it has rained: it does not tell of itself which of the two it is.
        return -1
    if low in _AFFECTING and kind == _YESNO_KIND and _is_effect(items, at):
        return _EITHER
    if mood != _PRESENT:
        return mood
    for place in range(at + 1, min(at + _APART, len(items) - 1)):
        said, to = items[place].low, items[place + 1].low
        if low in _DO and said in _DUTY and to == "to":
            return _MOODS["must"]
        if low not in _DO and said in _FITTING and to == "to" and items[at + 1].low == "it":
            return _EITHER
        if low not in _DO and said in _FITTING and to in _ENDS and items[at + 1].low.endswith("ing"):
            # Is taking it with wine safe: is it safe to take it.
            return _EITHER
        if low not in _DO and said in _PERIPHRASES and (to == "to" or said == "allowed"):
            return _MOODS[_PERIPHRASES[said]]
    return mood


def _is_effect(items: Sequence[Item], at: int) -> bool:
    """Whether it is asked what something does to somebody, rather than what somebody does."""
    if at + 1 == len(items) or items[at + 1].low in _PRONOUNS:
        return False
    behind = items[at + 2 : at + _APART]
    return any(item.stem in EFFECTS for item in behind) or any(
        x.low in _MAKES and y.low in _TO_WHOM for x, y in pairwise(behind)
    )


def are_measured(a: Kind, b: Kind) -> bool:
    """Whether one question asks for a number, and the other does not."""
    return (a.kind in _MEASURES) != (b.kind in _MEASURES)


def differences(a: Kind, b: Kind) -> tuple[str, ...]:
    """Differences: the question words, when the answer of one cannot serve the other."""
    kinds = frozenset((a.kind, b.kind))
    if len(kinds) > 1 and not kinds <= _ASKED_SO:
        return () if kinds in _COMPATIBLE else (a.text, b.text)
    if a.mood == b.mood or min(a.mood, b.mood) < 0:
        return ()
    moods = {a.mood, b.mood}
    if _EITHER in moods and moods <= {_EITHER, _PRESENT, _ABILITY}:
        return ()
    if kinds == _WHEN_KIND and moods == {_PRESENT, _FUTURE} and not _BEING.isdisjoint((a.mood_text, b.mood_text)):
        # When is the next election, when will it be.
        return ()
    strict = (
        kinds <= _ASKED_SO or moods == {_PAST, _FUTURE} or (a.kind in _TIMED and moods <= {_PRESENT, _PAST, _FUTURE})
    )
    return (a.mood_text, b.mood_text) if strict else ()
