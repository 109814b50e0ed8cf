"""Sentences of a text: what stands between marks that end one, or in brackets, with the words as they are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate, chain
from typing import NamedTuple

from refrain.streams.guards.item import LOW, Item, Said, Word
from refrain.streams.guards.items import opening
from refrain.streams.guards.lexicon import firsts, lines, pattern, words
from refrain.streams.guards.small_words import words_of
from refrain.streams.guards.telling import addresses, asks_on, asks_to_say, tells

SENTENCES_MAX = 24
"""Sentences that are told apart; what follows them counts as one."""
_COMMA = ","
_BRACKET = ")"
_ASKS = frozenset(("?", "\uff1f"))
_ENDS = _ASKS | frozenset(".!:;\n\u2026\u3002\uff01\uff1a\uff1b")
_OPENS, _CLOSES = frozenset("([{<"), frozenset(")]}>")
_MARKS = _ENDS | _OPENS | _CLOSES | {_COMMA}
_ABBREVIATED = frozenset("prof dr mr mrs ms st vs approx inc ltd jr sr dept fig eq nos vol pp".split())
_HARMLESS = words("harmless")
_WORD = re.compile(r"[^\s()|]+")
_UNSURE = "~ "
_SURE_LINES = [line for line in lines("polite") if not line.startswith(_UNSURE)]
_ALL_LINES = [line.removeprefix(_UNSURE) for line in lines("polite")]


def _without_harmless(line: str) -> str:
    return _WORD.sub(lambda word: "" if word[0] in _HARMLESS else word[0], line)


def _patterns(found: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(pattern(_without_harmless(line)) for line in found))


_POLITE, _SURELY_POLITE = _patterns(_ALL_LINES), _patterns(_SURE_LINES)
_OF_WORDS = frozenset(
    "say says said saying translate translation pronounce spell mean means meaning reply respond respell word phrase"
    " sentence lyrics song quote title called rhyme synonym correct grammar grammatical".split()
)
"""Words of a text that speaks of words."""
_COURTEOUS = frozenset(chain.from_iterable(firsts(_without_harmless(line)) for line in _ALL_LINES)) - {
    "is",
    "correct",
    "right",
}
"""Words with which a sentence of politeness begins, but for those that ask on (is it true)."""
_STOPS = _ENDS | {_COMMA}
_INTRODUCING = frozenset((":", "\uff1a"))
"""Marks before what an instruction handles: correct: he go."""
_ANNOUNCED = frozenset("question one query q thing".split())
"""Words before such a mark behind which a question follows: quick question: how."""
COURTESY_MAX = 16
"""Items of a sentence of politeness, at most."""

Words = tuple[Word, ...]


class Sentence(NamedTuple):
    """Sentence of a text."""

    words: Words
    keys: AbstractSet[str]
    asks: bool
    """Whether it asks something: a question mark ends it, and a word that asks opens it."""
    told: bool
    """Whether it tells how to answer."""
    bracketed: bool = False
    """Whether it stands in brackets."""
    asides: tuple[Words, ...] = ()
    """What stands before its first comma or behind its last one and tells how to answer."""
    commas: frozenset[int] = frozenset()
    """Numbers of words behind which a comma stands."""


class _Piece(NamedTuple):
    """Items between marks, and the mark behind them ("" at the end)."""

    items: list[Item]
    mark: str


def read_sentences(said: Said, used: frozenset[int]) -> tuple[Sentence, ...]:
    """Split a text into its sentences, without those of politeness; none where it is one without a comma.

    `used` are items that are parts of numbers.
    """
    if _MARKS.isdisjoint(said.lows[:-1]):
        return ()
    items = [item for at, item in enumerate(said.items) if at not in used] if used else said.items
    pieces = _pieces(items)
    last = len(pieces) - 1
    found = (_sentence(piece, is_open=at == last and piece.mark == ":") for at, piece in enumerate(pieces))
    return tuple([each for each in found if each is not None])


def is_polite(words: Sequence[Word]) -> bool:
    """Whether words are a sentence of politeness, which asks for nothing."""
    return _is_polite([word.text.lower() for word in words], _POLITE)


def _is_polite(lows: Sequence[str], polite: re.Pattern[str]) -> bool:
    return 0 < len(lows) <= COURTESY_MAX and polite.fullmatch(" ".join(lows) + " ") is not None


def without_politeness(said: Said) -> Said:
    """What a text says without the politeness that it begins and ends with; all of it where there is nothing else."""
    if _MARKS.isdisjoint(said.lows[:-1]):
        return said
    start, end = 0, len(said.lows)
    while (mark := _next_mark(said.lows, start)) < end - 1:
        if said.lows[mark] in _INTRODUCING and said.lows[max(start, mark - 1)] not in _ANNOUNCED:
            break
        if not _is_courtesy(said, start, mark):
            break
        start = mark + 1
    last = end - 1 if said.lows[end - 1] in _STOPS else end
    while (mark := _last_mark(said.lows, start, last)) > start and _is_courtesy(said, mark + 1, last):
        last = mark
        end = last + 1
    if end - start == len(said.lows):
        return said
    return Said.of([opening(said.items[start]), *said.items[start + 1 : end]])


def _next_mark(lows: Sequence[str], start: int) -> int:
    return next((at for at in range(start, min(len(lows), start + COURTESY_MAX)) if lows[at] in _STOPS), len(lows))


def _last_mark(lows: Sequence[str], start: int, end: int) -> int:
    return next((at for at in range(end - 1, max(start, end - COURTESY_MAX), -1) if lows[at] in _STOPS), -1)


def _is_courtesy(said: Said, start: int, end: int) -> bool:
    """Whether items between marks are a sentence of politeness that asks nothing."""
    lows = said.lows[start:end]
    first = next((low for low in lows if low not in _HARMLESS), None)
    if first is None:
        return True
    if first not in _COURTEOUS:
        return False
    polite = _POLITE if _OF_WORDS.isdisjoint(said.lows) else _SURELY_POLITE
    bare = [low for low in lows if low not in _HARMLESS]
    if _is_polite(bare, polite):
        return True
    said_so = [word.text.lower() for word in words_of(said.items[start:end], lows)]
    return said_so != bare and _is_polite(said_so, polite)


def _pieces(items: Sequence[Item]) -> list[_Piece]:
    """The pieces of a text; what stands in brackets is a piece of its own, and parts no other."""
    found: list[_Piece] = []
    outer: list[Item] = []
    inner: list[Item] = []
    place = outer
    for item in items:
        mark = item.low
        if len(found) >= SENTENCES_MAX or mark not in _MARKS or mark == _COMMA or _is_abbreviated(mark, place):
            place.append(item)
        elif mark in _OPENS or mark in _CLOSES:
            found += [_Piece(inner, _BRACKET)] if inner else []
            inner = []
            place = inner if mark in _OPENS else outer
        else:
            found += [_Piece(place, mark)] if place else []
            if place is outer:
                place = outer = []
            else:
                place = inner = []
    return [*found, *(_Piece(rest, "") for rest in (inner, outer) if rest)]


def _is_abbreviated(mark: str, before: Sequence[Item]) -> bool:
    """Whether a stop belongs to the word before it: Prof., W., p.m."""
    if mark != "." or not before:
        return False
    low = before[-1].low
    return low in _ABBREVIATED or all(len(part) == 1 for part in low.split("."))


def _sentence(piece: _Piece, is_open: bool) -> Sentence | None:
    """The sentence of a piece; `is_open` is whether a colon ends the text with it."""
    parts = _parts(piece.items)
    words = tuple([word for _, part in parts for word in part])
    if _says_nothing(words) or (is_polite(words) and not is_open):
        return None
    lows = [low for part, _ in parts for low in part]
    asks = piece.mark in _ASKS and asks_on(lows) and not asks_to_say(lows)
    ends = (parts[0], parts[-1]) if len(parts) > 1 else ()
    return Sentence(
        words,
        frozenset([word.key for word in words]),
        asks,
        tells(lows, piece.mark in _ASKS) or (not asks and (addresses(lows) or _is_manner(words))),
        piece.mark == _BRACKET,
        tuple([part for said, part in ends if part and tells(said) and not is_polite(part)]),
        frozenset(accumulate(len(part) for _, part in parts[:-1])),
    )


def _says_nothing(words: Sequence[Word]) -> bool:
    """Whether there is no word, or a letter alone."""
    return len(words) <= 1 and all(len(word.text) == 1 for word in words)


def _is_manner(words: Sequence[Word]) -> bool:
    """Whether it is one adverb: how to answer, where no verb stands before it."""
    return len(words) == 1 and words[0].text.endswith("ly")


def _parts(items: Sequence[Item]) -> list[tuple[list[str], Words]]:
    """The parts of a sentence between commas: how their items read, and their words."""
    parts: list[list[Item]] = [[]]
    for item in items:
        if item.low == _COMMA:
            parts.append([])
        else:
            parts[-1].append(item)
    return [(lows, tuple(words_of(part, lows))) for part in parts if part for lows in (list(map(LOW, part)),)]
