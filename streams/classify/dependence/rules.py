"""Rules: what in a text's wording makes its answer depend on now or on who asks.

A question of a general kind (how do I, what should I, what happens if, what is a) has one answer for all, whatever it
names behind these words; the lists whose names begin with `surely` count there too. What is told beside a question,
such as since when something hurts, is its occasion and asks nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from refrain.streams.classify.dependence.patterns import Pattern, opening, search
from refrain.streams.classify.dependence.screen import Candidates, Screen
from refrain.streams.classify.dependence.wording import MARK, wording, words_of
from refrain.streams.guards.lexicon import digest

RULES = digest(Path(__file__).parent)
"""8 hex digits over the rules and their lists: part of the behaviour that a decision names."""
WORDS_MAX = 4
"""Pieces of evidence that are told."""

_EVIDENCE = Screen("volatile", "surely_volatile", "personal", "surely_personal")
_CONTEXT = Screen("openers", "handled", "harmless", "general", "technical")
_SENTENCE = re.compile(r"[^.?:]*[.?:] ")
_SAID = re.compile(r"(?:but |and |so |well )*(?:my|our|i|we) ")
_TOLD = re.compile(r"(?<![^ ])(?:i|my|we|our|he|his|she|her|they|their) ")


class Found(NamedTuple):
    """The words by which an answer depends on now and on who asks; empty where it does not."""

    volatile: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()


_NOTHING = Found()


def find(text: str) -> Found:
    """Find what the answer to a question depends on; never raises."""
    words = words_of(text)
    evidence = _EVIDENCE.candidates(words)
    return _find(words, evidence) if evidence else _NOTHING


def _find(words: Sequence[str], evidence: Candidates) -> Found:
    """What is found by `evidence`: no word comes in by what is left out, so no other pattern matches."""
    context = _CONTEXT.candidates(words)
    own = _own(_opened(wording(words), context), context)
    sentences = _SENTENCE.findall(own)
    asked = [_up_to_general(each, context) for each in sentences]
    volatile = _volatile(sentences, asked) if "volatile" in evidence else ""
    personal = _personal(sentences, asked, context) if "personal" in evidence else ""
    return Found(
        _some(_words(evidence, surely_volatile=own, volatile=volatile)),
        _some(_words(evidence, surely_personal=own, personal=personal)),
    )


def _volatile(sentences: Sequence[str], asked: Sequence[str]) -> str:
    """The sentences that may depend on now: without those that tell of an occasion."""
    questions = asked != sentences or any(map(_asks, sentences))
    return "".join(each for each in asked if _asks(each) or not (questions and _TOLD.search(each)))


def _personal(sentences: Sequence[str], asked: Sequence[str], context: Candidates) -> str:
    """The sentences that may depend on who asks: without what is told beside a general question, and on programs."""
    general = asked != sentences
    kept = [each for each in asked if not (general and _SAID.match(each) and not _asks(each))]
    technical = context.get("technical", ())
    return "".join(each for each in kept if next(search(technical, each), None) is None)


def _opened(said: str, context: Candidates) -> str:
    """Each sentence without the words that only open it: please, can you tell me."""
    openers = context.get("openers")
    return said if openers is None else "".join(_without_opener(each, openers) for each in _SENTENCE.findall(said))


def _without_opener(sentence: str, openers: Sequence[Pattern]) -> str:
    while 0 < (end := opening(openers, sentence)) < len(sentence) - 2:
        sentence = sentence[end:]
    return sentence


def _own(said: str, context: Candidates) -> str:
    """The asker's own wording: without the text that is to be handled, and without what only looks like a trigger."""
    handled = next(search(context.get("handled", ()), said), None)
    if handled is not None:
        said = f"{said[: handled.start]}. "
    kept: list[str] = []
    at = 0
    for match in search(context.get("harmless", ()), said):
        kept += (said[at : match.start], f"{MARK} ")
        at = match.end
    return "".join([*kept, said[at:]])


def _up_to_general(sentence: str, context: Candidates) -> str:
    """A sentence up to where it becomes general."""
    match = next(search(context.get("general", ()), sentence), None)
    return sentence if match is None else f"{sentence[: match.start]}? "


def _asks(sentence: str) -> bool:
    return sentence.endswith("? ")


def _words(evidence: Candidates, **said: str) -> Iterator[str]:
    """The words by which each of these lists matches what is said."""
    for name, text in said.items():
        for match in search(evidence.get(name, ()), text):
            yield match.words


def _some(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(words), WORDS_MAX))
