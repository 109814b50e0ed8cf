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

from refrain.streams.classify.dependence.patterns import Match, Pattern, opening, search
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
    """What is found by `evidence`: what is left out brings in no word, so no other pattern matches."""
    context = _CONTEXT.candidates(words)
    own = _own(_opened(wording(words), context), context)
    sentences = _SENTENCE.findall(own)
    asked = _up_to_general(sentences, context)
    volatile = list(_matches(evidence, "surely_volatile", own))
    personal = list(_matches(evidence, "surely_personal", own))
    if "volatile" in evidence:
        volatile += _matches(evidence, "volatile", "".join(_of_now(sentences, asked)))
    if "personal" in evidence:
        personal += _matches(evidence, "personal", "".join(_of_the_asker(sentences, asked, context)))
    return Found(_some(volatile), _some(personal))


def _matches(candidates: Candidates, name: str, said: str) -> Iterable[str]:
    """The words by which the patterns of a list match."""
    return (match.words for match in search(candidates[name], said)) if name in candidates else ()


def _first(candidates: Candidates, name: str, said: str) -> Match | None:
    """The first match of the patterns of a list."""
    return next(search(candidates[name], said), None) if name in candidates else None


def _opened(said: str, context: Candidates) -> str:
    """Each sentence without the words that only open it: please, can you tell me."""
    if "openers" not in context:
        return said
    return "".join(_without_opener(sentence, context["openers"]) for sentence in _SENTENCE.findall(said))


def _without_opener(sentence: str, openers: Sequence[Pattern]) -> str:
    while 0 < (end := opening(openers, sentence)) < len(sentence) - 2:
        sentence = sentence[end:]
    return sentence


def _own(said: str, context: Candidates) -> str:
    """The asker's own wording: without the text that is to be handled, and without what only looks like a trigger."""
    handled = _first(context, "handled", said)
    if handled is not None:
        said = f"{said[: handled.start]}. "
    if "harmless" not in context:
        return said
    kept: list[str] = []
    at = 0
    for match in search(context["harmless"], said):
        kept += (said[at : match.start], f"{MARK} ")
        at = match.end
    return "".join([*kept, said[at:]])


def _up_to_general(sentences: list[str], context: Candidates) -> list[str]:
    """The sentences, each up to where it becomes general."""
    if "general" not in context:
        return sentences
    begun = [(sentence, _first(context, "general", sentence)) for sentence in sentences]
    return [sentence if match is None else f"{sentence[: match.start]}? " for sentence, match in begun]


def _of_now(sentences: Sequence[str], asked: Sequence[str]) -> Iterator[str]:
    """The sentences that may depend on now: not what is told beside a question."""
    questions = asked != sentences or any(map(_asks, sentences))
    return (each for each in asked if _asks(each) or not (questions and _TOLD.search(each)))


def _of_the_asker(sentences: Sequence[str], asked: Sequence[str], context: Candidates) -> Iterator[str]:
    """The sentences that may depend on who asks: not what is told beside a general question, nor what is technical.

    In a sentence that speaks of programs an order sorts, and an account is a row.
    """
    general = asked != sentences
    for each in asked:
        is_told = general and _SAID.match(each) is not None and not _asks(each)
        if not is_told and _first(context, "technical", each) is None:
            yield each


def _asks(sentence: str) -> bool:
    return sentence.endswith("? ")


def _some(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(words), WORDS_MAX))
