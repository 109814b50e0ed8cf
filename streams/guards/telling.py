"""Telling how to answer: whether a sentence says how to answer a question, rather than asks or says something."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from refrain.streams.guards.lexicon import words

_TELLING = words("telling")
_VERBS = _TELLING | words("requests") | words("instructions")
_LEADING_ON = words("leading_on") | words("harmless")
_ANSWERING, _TONGUES = words("answering"), words("tongues")
_OF_ANSWERS = frozenset("answer answers reply replies response responses respond".split())
_INTO = frozenset(("in", "into", "to"))
_CHOICES = frozenset(("yes", "no", "or"))
_ASKED_OF = frozenset("can could will would won't should may might must".split())
_QUESTION_WORDS = frozenset("who whom whose what which when where why how".split())
_ASKING = _ASKED_OF | _QUESTION_WORDS | frozenset("is are was were do does did has have had am".split())
_PROPOSING = frozenset((("how", "about"), ("what", "about"), ("why", "not"), ("what", "if")))
"""Openings of a question that proposes something: how about a poem?"""
_SAYING = frozenset(
    "say answer reply respond pretend suppose assume imagine act talk speak ignore repeat lie guess".split()
)
"""Verbs that ask for words."""
_OF_SAYING = _ANSWERING | frozenset("say says said saying yes no".split())
_FINITE = frozenset("is are was were has had will would can could".split())
_SPEAKERS = frozenset(("i", "we"))
_SUBJECTS = frozenset("i we he she they it my our his her their there here".split())
_ADDRESSED = frozenset(("you", "your"))
_OPENING = 3
"""Words among which one that asks stands in a question."""
_FEW = 3
"""Words of a sentence that is short enough for its last one to say how to answer: British English."""


def tells(lows: Sequence[str], asks: bool = False) -> bool:
    """Whether words (in lower case) tell how to answer; `asks` is whether a question mark ends them."""
    if asks and lows[0] in _ASKING:
        return not _OF_SAYING.isdisjoint(lows) or tuple(lows[:2]) in _PROPOSING or _is_asked_of(lows, _TELLING)
    return _is_told(lows) or speaks_of_answers(lows)


def asks_on(lows: Sequence[str]) -> bool:
    """Whether words ask a further question: is it true, and why, if so how."""
    return lows[0] in _ASKING or not _QUESTION_WORDS.isdisjoint(lows[:_OPENING])


def asks_further(lows: Sequence[str]) -> bool:
    """Whether words around a question ask another one, and do not tell how to answer: and how do they form."""
    return not _QUESTION_WORDS.isdisjoint(lows[:2]) and not tells(lows, asks=True)


def addresses(lows: Sequence[str]) -> bool:
    """Whether a sentence is about the one who answers (you are a cat), or about what is wanted of him."""
    if lows[0] in _SPEAKERS:
        return ("you", "to") in pairwise(lows)
    return next((low in _ADDRESSED for low in lows if low not in _LEADING_ON), False)


def asks_to_say(lows: Sequence[str]) -> bool:
    """Whether a question asks somebody to say or suppose something: would you just say yes?"""
    return _is_asked_of(lows, _SAYING)


def _is_asked_of(lows: Sequence[str], verbs: frozenset[str]) -> bool:
    """Whether it asks the one who answers to do something: could you be brief?"""
    if len(lows) < _FEW or lows[0] not in _ASKED_OF or lows[1] != "you":
        return False
    return next((low in verbs for low in lows[2:] if low not in _LEADING_ON), False)


def _is_told(lows: Sequence[str]) -> bool:
    """Whether a verb of telling opens it: just say, but do not explain. "Test was negative" has a noun there."""
    at = next((at for at, low in enumerate(lows) if low not in _LEADING_ON), len(lows))
    return at < len(lows) and lows[at] in _VERBS and not (at + 1 < len(lows) and lows[at + 1] in _FINITE)


def speaks_of_answers(lows: Sequence[str]) -> bool:
    """Whether words speak of the answer: its length, its form, its language, yes or no."""
    if lows[0] in _SUBJECTS:
        return not _OF_ANSWERS.isdisjoint(lows)
    if not _ANSWERING.isdisjoint(lows):
        return True
    said = [low for low in lows if low not in _LEADING_ON or low in _CHOICES]
    if _CHOICES.issuperset(said):
        return "yes" in said or "no" in said
    if len(said) <= _FEW and said[-1] in _TONGUES:
        return True
    return any(x in _INTO and y in _TONGUES for x, y in pairwise(lows))
