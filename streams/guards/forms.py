"""Forms of words where a text is about words, or hands on a text: there another form of a word is another text.

How do you spell theatre; is the sentence they was happy correct; tell my landlord that the heater is broken; what is
wrong in this: she sing well. Elsewhere theatre and theater, was and were, heater and heaters say the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from refrain.streams.guards.item import WORDLY, Item, Said
from refrain.streams.guards.lexicon import groups, words
from refrain.streams.guards.stems import stem

_ABOUT = words("about_words")
_OF_WORDS = frozenset(map(stem, _ABOUT)) | frozenset(map(stem, words("of_words")))
"""Stems of words of which another form says the same also there: spell, spelled."""
_NAMED_BY = frozenset(("word", "words"))
_BEFORE_WORD = frozenset("the this word words".split())
_NOT_WORDS = frozenset("document documents doc docs file files count counts limit problem problems processor".split())
"""What is no word though "word" stands before it: the word document."""
_TELLING = words("handing_on") | words("told")
_WHETHER = frozenset(("whether", "if"))
_THAT = _WHETHER | {"that"}
_ASK = frozenset(("ask", "asking"))
"""Behind them "that" describes what is asked: ask questions that anybody can answer."""
_QUOTING = frozenset("saying says reads stating states announcing announces claiming".split())
"""Words of a request behind which stands what is to be written: a sign saying the pool is closed."""
_FOR = "for"
_TOLD = words("told")
"""Words of those behind which first stands who is told: tell my boss that."""
_OF_NOUNS = frozenset("a an the my your our his her their this that of".split())
"""Words before a noun: the email that I sent."""
_SUBJECTS = frozenset("i we he she they it you".split())
_REQUESTS = words("requests") | words("instructions")
_WRITING = _REQUESTS | {"please"}
_ASKER = frozenset(("me", "us"))
_REACH = 4
"""Words behind one that hands on, among which what is handed on begins."""
_COLON = frozenset((":", "\uff1a"))
_MARKING = _ABOUT | _TELLING | _COLON
"""Words without one of which nothing is handled as words: most texts have none."""
_ANNOUNCED = frozenset("question questions query one thing hi hello hey note ps context help".split())
"""Words before a colon behind which nothing is handled."""
_ASKING = frozenset(
    "who whom whose what which when where why how is are was were am do does did has have had can could will would"
    " should may might must if whether".split()
)
_FORMS = {word: number for number, line in enumerate(groups("forms")) for word in line}
"""Little words, by the line of those of which they are forms: is, are, was."""
_LEAD = 2
"""Words with which a text opens; of little ones no form counts there: how do you, how does one."""


class Forms(NamedTuple):
    """Words of a text of which the form counts, and how often each stands there."""

    counted: Counter[str]
    items: dict[str, Item]


_NONE = Forms(Counter(), {})


def read_forms(said: Said) -> Forms:
    """Extract what a text handles as words; nothing from most texts."""
    start = _start(said)
    if start is None:
        return _NONE
    found = {
        item.low: item
        for at, item in enumerate(said.items)
        if at >= start
        and item.kind in WORDLY
        and (at >= _LEAD or item.low not in _FORMS)
        and item.stem not in _OF_WORDS
    }
    return Forms(Counter([low for low in said.lows[start:] if low in found]), found)


def differences(a: Forms, b: Forms) -> tuple[str, ...]:
    """Differences: two forms of a word, each of which only one of the texts has."""
    if not a.items or not b.items:
        return ()
    mine = [a.items[low] for low in a.counted - b.counted]
    theirs = [b.items[low] for low in b.counted - a.counted]
    return next(((m.text, t.text) for m in mine for t in theirs if _is_form(m, t)), ())


def _is_form(m: Item, t: Item) -> bool:
    if m.low in _FORMS or t.low in _FORMS:
        return _FORMS.get(m.low) == _FORMS.get(t.low)
    return m.stem == t.stem or not m.groups.isdisjoint(t.groups)


def _start(said: Said) -> int | None:
    """Where what is handled as words begins; None where nothing is."""
    lows = said.lows
    if _MARKING.isdisjoint(lows):
        return None
    if not _ABOUT.isdisjoint(lows) and any(_is_about(lows, at) for at in range(len(lows)) if lows[at] in _ABOUT):
        return 0
    for at, low in enumerate(lows):
        if low in _TELLING and (start := _handed_on(lows, at)) is not None:
            return start
    return None if _COLON.isdisjoint(lows) else _introduced(lows)


def _is_about(lows: Sequence[str], at: int) -> bool:
    """Whether a word speaks of words: the word theatre, and not a word document."""
    if lows[at] not in _NAMED_BY:
        return True
    before, behind = lows[at - 1] if at else "", lows[at + 1] if at + 1 < len(lows) else ""
    return before in _BEFORE_WORD and behind not in _NOT_WORDS


def _handed_on(lows: Sequence[str], at: int) -> int | None:
    """Where begins what a word hands on: tell my boss | that I am sick; nothing where the asker is told."""
    behind = lows[at + 1 : at + 1 + _REACH]
    if behind and (behind[0] == _FOR or (lows[at] in _QUOTING and lows[0] in _WRITING)):
        return at + 1
    if not behind or (at and lows[at - 1] in _OF_NOUNS):
        return None
    if lows[at] not in _TOLD:
        return at + 1 if behind[0] in _THAT else None
    if behind[0] in _ASKER and _THAT.isdisjoint(behind[1:2]):
        return None
    that = _WHETHER if lows[at] in _ASK else _THAT
    return next((at + 1 + by for by, low in enumerate(behind) if low in that or (by and low in _SUBJECTS)), None)


def _introduced(lows: Sequence[str]) -> int | None:
    """Where begins what a colon introduces, if that is no question, and nothing that is announced."""
    at = next(at for at, low in enumerate(lows) if low in _COLON)
    if at < _LEAD or at + 1 >= len(lows) or lows[at + 1] in _ASKING:
        return None
    if lows[at - 1] in _ANNOUNCED and lows[0] not in _REQUESTS:
        return None
    return at + 1
