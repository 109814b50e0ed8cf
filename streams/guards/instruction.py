"""The guard `instruction`: what stands beside a question in one text alone makes another question of it.

Two texts are looked at by sentence. Of each the sentence nearest to the other text is the question; every other one
must have a counterpart there. One that tells how to answer (just say yes, in one word, you are a pirate) needs one that
says the same (`told`). Any other needs one that speaks of the same; without one it counts as a further question
(`asked`) or as something said beside the question, where the questions are nearly the same (`beside`), and not where
they are worded otherwise (`apart`). Within a sentence the same is looked for before and behind the other text's words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import NamedTuple

from refrain.streams.guards.item import Word
from refrain.streams.guards.sentences import Sentence, Words, is_polite
from refrain.streams.guards.small_words import SmallWords
from refrain.streams.guards.stems import related
from refrain.streams.guards.telling import addresses, asks_further, speaks_of_answers, tells

FRAME = 750
"""Words that two sentences share (Dice's coefficient, in thousandths) from which they are nearly the same."""
TOLD, BESIDE, ASKED, APART = "told", "beside", "asked", "apart"
_KINDS = (TOLD, BESIDE, ASKED, APART)
"""Kinds of differences, the gravest first."""
_GOES_ON = frozenset("and or but because if so not no".split())
"""One of them stands in a run of little words behind a question that is none of it."""
_TURNS = frozenset("but because so lol jk btw".split())
"""Words with which somebody goes on about a question."""
_AS_IF = ("as", "if")
Found = tuple[str, Words]
"""A kind of difference, and the words of it."""


class Instructions(NamedTuple):
    """Sentences of a text, none where it is one, and all its words."""

    sentences: tuple[Sentence, ...]
    whole: SmallWords


class Beside(NamedTuple):
    """What stands beside a question: the gravest kind of it, and its words."""

    kind: str
    words: tuple[str, ...]


def differences(a: Instructions, b: Instructions) -> Beside | None:
    """Differences: what one text alone has beside its question. Symmetric in effect."""
    if a.sentences or b.sentences:
        found = _by_sentence(a, b)
    elif _may_hold(a.whole, b.whole):
        found = _around(_whole(a), _whole(b), a.whole, b.whole)
    else:
        return None
    if not found:
        return None
    return Beside(
        min([kind for kind, _ in found], key=_KINDS.index), tuple([word.text for _, said in found for word in said])
    )


def _may_hold(a: SmallWords, b: SmallWords) -> bool:
    """Whether one text may hold all words of the other, and more."""
    if len(a.words) == len(b.words):
        return False
    short, long = (a, b) if len(a.words) < len(b.words) else (b, a)
    return short.counted.keys() <= long.counted.keys()


def _by_sentence(a: Instructions, b: Instructions) -> list[Found]:
    mine, theirs = a.sentences or (_whole(a),), b.sentences or (_whole(b),)
    m, t = _question(mine, b.whole), _question(theirs, a.whole)
    found = [(TOLD, aside) for aside in m.asides if not _is_said(aside, b.whole)]
    found += [(TOLD, aside) for aside in t.asides if not _is_said(aside, a.whole)]
    if len(mine) > 1 or len(theirs) > 1:
        alike = _alike(m.keys, t.keys) >= FRAME
        found += _left(mine, m, theirs, b.whole, alike) + _left(theirs, t, mine, a.whole, alike)
    return found + _around(m, t, a.whole, b.whole)


def _whole(a: Instructions) -> Sentence:
    """A text as one sentence."""
    return Sentence(a.whole.words, a.whole.counted.keys(), asks=True, told=False)


def _question(sentences: Sequence[Sentence], other: SmallWords) -> Sentence:
    """The sentence that is nearest to the other text."""
    if len(sentences) == 1:
        return sentences[0]
    keys = other.counted.keys()
    return max(sentences, key=lambda each: _alike(each.keys, keys))


def _alike(a: AbstractSet[str], b: AbstractSet[str]) -> int:
    """Dice's coefficient of two sets of words, in thousandths."""
    of = len(a) + len(b)
    return 2_000 * len(a & b) // of if of else 1_000


def _left(
    sentences: Sequence[Sentence], question: Sentence, others: Sequence[Sentence], other: SmallWords, alike: bool
) -> list[Found]:
    """Sentences beside the question that have no counterpart in the other text."""
    return [
        (_kind(each, alike), each.words)
        for each in sentences
        if each is not question and not (_is_matched(each, others) or _is_harmless(each, other))
    ]


def _is_matched(each: Sentence, others: Sequence[Sentence]) -> bool:
    """Whether the other text has nearly the same sentence."""
    return any(_alike(each.keys, their.keys) >= FRAME for their in others)


def _is_harmless(each: Sentence, other: SmallWords) -> bool:
    """Whether it tells nobody how to answer, and says nothing that the other text does not."""
    if each.told and not each.asks:
        return False
    return _is_apposed(each) or _asks_nothing(each) or _is_said(each.words, other)


def _kind(each: Sentence, alike: bool) -> str:
    """The kind of what stands beside a question; `alike` is whether both questions are nearly the same."""
    if each.told and (alike or not each.asks):
        return TOLD
    if not alike:
        return APART
    return ASKED if each.asks else BESIDE


def _asks_nothing(each: Sentence) -> bool:
    """Whether it asks on in little words alone: and why, is it true."""
    return each.asks and not each.told and not any(word.content for word in each.words)


def _is_apposed(each: Sentence) -> bool:
    """Whether it is another name in brackets for what stands before them; other guards compare names."""
    return each.bracketed and len(each.words) == 1


def _is_said(words: Words, other: SmallWords) -> bool:
    """Whether the other text speaks of it: half of the words of meaning, all words where none has a meaning."""
    content = [word for word in words if word.content]
    if not content:
        return all(word.key in other.counted for word in words)
    apart = [word for word in content if word.key not in other.counted]
    if not apart or (len(content) > 1 and 2 * len(apart) <= len(content)):
        return True
    apart = [word for word in apart if not _has_synonym(word, other)]
    return not apart or (len(content) > 1 and 2 * len(apart) <= len(content))


def _has_synonym(word: Word, other: SmallWords) -> bool:
    """Whether a word of the other text is a synonym, or another form of the word."""
    there = [each for each in other.words if each.content]
    if not word.groups.isdisjoint(chain.from_iterable([each.groups for each in there])):
        return True
    return any(related(each.key, word.key) for each in there)


def _around(m: Sentence, t: Sentence, a: SmallWords, b: SmallWords) -> list[Found]:
    """What stands before and behind the words of one question in the other, that the first one's text does not say."""
    short, long, other = (m, t, a) if len(m.words) < len(t.words) else (t, m, b)
    at = _place(short.words, long.words) if short.keys <= long.keys else None
    if at is None:
        return []
    end = at + len(short.words)
    before, behind = long.words[:at], long.words[end:]
    found = [
        (before, _is_beside(before, at in long.commas)),
        (behind, _is_beside(behind, end in long.commas) or _goes_on(behind)),
    ]
    return [each for words, counts in found if counts for each in _further(words, other)]


def _further(words: Words, other: SmallWords) -> Iterator[Found]:
    """What words around a question come to, if they are neither polite nor said in the other text."""
    if is_polite(words) or _is_said(words, other):
        return
    if not asks_further(_lows(words)):
        yield BESIDE, words
    elif any(word.content for word in words):
        yield ASKED, words


def _place(short: Words, long: Words) -> int | None:
    """Where all words of a sentence stand in another, in their order and with none between them."""
    keys, of = [word.key for word in short], [word.key for word in long]
    if not keys or len(keys) == len(of):
        return None
    places = range(len(of) - len(keys) + 1)
    return next((at for at in places if of[at] == keys[0] and of[at : at + len(keys)] == keys), None)


def _lows(words: Words) -> list[str]:
    return [word.text.lower() for word in words]


def _is_beside(words: Words, parted: bool) -> bool:
    """Whether words before or behind a question are parted from it, or tell how to answer it."""
    if not words or parted:
        return bool(words)
    lows = _lows(words)
    return tells(lows) or addresses(lows) if len(words) > 1 else speaks_of_answers(lows)


def _goes_on(words: Words) -> bool:
    """Whether words behind a question are none of it, though no mark parts them."""
    if len(words) < 2:
        return False
    lows = _lows(words)
    if lows[0] in _TURNS or tuple(lows[:2]) == _AS_IF or words[0].text[0].isupper():
        return True
    return not any(word.content for word in words) and not _GOES_ON.isdisjoint(lows)
