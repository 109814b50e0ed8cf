"""The guard `words`: of two texts that are otherwise the same, each differing word must show that it is harmless.

Where most words are the same, a little word that stands in another's place, a person for another, a decisive word more,
a meaningful capital, or two words that change places ask another question. Words of meaning that one request has and
the other has not are told apart (`extra`): they weigh. Symbols count, and who asks anew (more tips, another joke) asks
for another answer, however worded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple

from refrain.streams.guards.foreign_edits import unsaid
from refrain.streams.guards.item import Word
from refrain.streams.guards.lexicon import groups, words
from refrain.streams.guards.names import SORTS
from refrain.streams.guards.scope import parted, times
from refrain.streams.guards.small_words import JOINING, LIMITING, SmallWords
from refrain.streams.guards.stems import is_irregular, related, stem

FRAME = 750
"""Words that both have, of all of both (Dice's coefficient, 1945, in thousandths), from which they share a frame."""
WORDS_MAX = 120
"""Words of a text that are compared in their order; longer texts are told apart by the other guards."""


def _by_word(lines: Iterable[Iterable[str]]) -> dict[str, frozenset[int]]:
    """In which of the lines each word stands."""
    found: dict[str, set[int]] = defaultdict(set)
    for number, line in enumerate(lines):
        for word in line:
            found[word].add(number)
    return {word: frozenset(numbers) for word, numbers in found.items()}


_NO_LINES: frozenset[int] = frozenset()
_LINES = _by_word(groups("interchangeable"))
_PERSONS = words("persons")
_DONE_TO = frozenset(groups("persons")[0])
_ONES = _by_word(
    one.split()
    for one in ("i me my mine we us our ours", "you your yours", "he him his", "she her hers", "they them their theirs")
)
"""Words that speak of the same person."""
_DECISIVE = words("decisive") | LIMITING
_RIVALS = _by_word([*line, *map(stem, line)] for line in groups("rivals"))
"""Words of which one asks for something else than another in its place, also where it is no little word."""
_ASKED = frozenset(("should", "can"))
"""Words before the asker that an opening takes in, and him with them."""
_ASKERS = frozenset(("i", "we"))
_DOERS = _ASKERS | {"you", "they", "someone", "howto", "should", "possible", "allowed", "must"}
"""Words of an active sentence that say who does it: anybody, as in a passive one."""
_HOWTO, _SHOULD = "howto", "should"
_OWN = {"i": "my", "you": "your"}
_ANYBODYS = frozenset(("my", "your", "one"))
_BE = frozenset(("is", "was", "be", "been", "being", "get"))
_OF_VOICE = _BE | {"they", "someone", "did"}
"""Words by which a sentence whose doer is anybody differs from a passive one."""
_ERGATIVE = frozenset("form develop spread evolv originat freez melt dissolv".split())
"""Stems of verbs that say of a thing what is done to it: diamonds form, and are formed."""
_EITHER = frozenset(("and", "or"))
"""Between two that are compared the one says what the other does: between A and B, A or B."""
_BY = "by"
_ADVERB_CHARS = 6
_PARTICLES = frozenset("back away together apart aside".split())
"""Words that may stand before or behind what a verb is about: get my deposit back, get back my deposit."""
_EDIT_MAX = 2


class Edits(NamedTuple):
    """Differing words: `harmful` ones ask another question, `extra` ones may."""

    harmful: tuple[str, ...]
    extra: tuple[str, ...] = ()


def anew(a: SmallWords, b: SmallWords) -> tuple[str, ...]:
    """Differences: the word by which only one of the texts asks anew."""
    return (a.anew or b.anew,) if bool(a.anew) != bool(b.anew) else ()


def signs(a: SmallWords, b: SmallWords) -> tuple[str, ...]:
    """Differences: the symbols of both texts, when they are not the same."""
    return () if a.signs == b.signs else (*a.signs, *b.signs)


def is_frame(a: SmallWords, b: SmallWords) -> bool:
    """Whether most words of the texts are the same, or all words of meaning are."""
    if max(len(a.words), len(b.words)) > WORDS_MAX:
        return False
    if a.content == b.content:
        return True
    both = sum([min(a.counted[key], b.counted[key]) for key in a.counted.keys() & b.counted.keys()])
    return 2_000 * both >= FRAME * (len(a.words) + len(b.words))


def edits(a: SmallWords, b: SmallWords) -> Edits:
    """Compare the words of two texts that share a frame. Symmetric in effect."""
    if a.keys == b.keys:
        # Neither lacks a word of the other, and none has moved: only how they are written may differ.
        return Edits((*_capitals(a, b), *_tenses(a, b)))
    mine, theirs = _left(a, b), _left(b, a)
    if a.content == b.content and _voiced(a, b) == [] and _of_one_time(a, b):
        mine, theirs = mine - _OF_VOICE, theirs - _OF_VOICE
    changed = _changes(a, b, mine, theirs)
    anybody = (_HOWTO in a.counted and _HOWTO in b.counted) or _is_anybody(a, b)
    left = mine | theirs
    if a.symmetric and b.symmetric:
        changed = [(m, t) for m, t in changed if {word.key for word in (*m, *t)} != _EITHER]
    harmful = [word.text for m, t in changed for word in _harmful(m, t, left) if not (anybody and _is_anybodys(m, t))]
    harmful += _stranded(a, b) + _stranded(b, a) + _capitals(a, b) + _exchanged(a, b) + _tenses(a, b) + times(a, b)
    extra = [w.text for m, t in changed for w in _extra(m, t)] if a.request or b.request else []
    return Edits(tuple(harmful), tuple(extra))


def any_difference(a: SmallWords, b: SmallWords, languages: frozenset[str]) -> tuple[str, ...]:
    """Differences: every word that only one says, in `languages` without word lists, and two that change places."""
    return unsaid(a, b, languages) or tuple(_exchanged(a, b))


def _left(a: SmallWords, b: SmallWords) -> frozenset[str]:
    """Keys of words that a text has more often, and that no other form or synonym in the other says."""
    over = _over(a, b)
    if not over:
        return frozenset()
    others = _over(b, a)
    there = [word for word in b.words if word.key in others]
    return frozenset(
        [word.key for word in a.words if word.key in over and not any(_paired(word, other) for other in there)]
    )


def _over(a: SmallWords, b: SmallWords) -> list[str]:
    """Keys of words that a text has more often."""
    return [key for key, count in a.counted.items() if count > b.counted.get(key, 0)]


def _paired(m: Word, t: Word) -> bool:
    return m.content and t.content and (bool(m.groups & t.groups) or related(m.key, t.key))


Change = tuple[list[Word], list[Word]]
Neighbours = dict[tuple[str, str], tuple[str, ...]]


def _changes(a: SmallWords, b: SmallWords, mine: frozenset[str], theirs: frozenset[str]) -> list[Change]:
    """Places at which the texts differ, with the words of each that the other lacks; moved words are not told."""
    if not mine and not theirs:
        return []
    # Of two alignments of the same length difflib takes one by the order of its arguments: they get one order.
    if a.keys > b.keys:
        return [(m, t) for t, m in _places(b, a, theirs, mine)]
    return list(_places(a, b, mine, theirs))


def _places(a: SmallWords, b: SmallWords, mine: frozenset[str], theirs: frozenset[str]) -> Iterator[Change]:
    for i, j, k, n in _apart(a.keys, b.keys):
        m = [word for word in a.words[i:j] if word.key in mine]
        t = [word for word in b.words[k:n] if word.key in theirs]
        if len(m) == len(t) == 1 and max(j - i, n - k) <= _EDIT_MAX:
            yield m, t
        else:
            if len(who := _among(_PERSONS, m)) == len(whom := _among(_PERSONS, t)) == 1 and not _share(
                _ONES, who[0].key, whom[0].key
            ):
                yield who, whom
                m, t = [word for word in m if word is not who[0]], [word for word in t if word is not whom[0]]
            yield from (([word], []) for word in m)
            yield from (([], [word]) for word in t)


def _among(keys: frozenset[str], found: list[Word]) -> list[Word]:
    return [word for word in found if word.key in keys]


def _apart(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """Where an alignment of two lists differs, each place as (start, end) in the one and in the other."""
    start = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    i, j = len(a), len(b)
    while i > start and j > start and a[i - 1] == b[j - 1]:
        i, j = i - 1, j - 1
    if frozenset(a[start:i]).isdisjoint(b) and frozenset(b[start:j]).isdisjoint(a):
        # Nothing between the common start and end stands in the other text: difflib aligns them just so, but slowly.
        return [(start, i, start, j)]
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    return [(i, j, k, n) for op, i, j, k, n in matcher.get_opcodes() if op != "equal"]


def _harmful(m: list[Word], t: list[Word], left: frozenset[str]) -> list[Word]:
    """Words of a place that ask for something else; `left` are the keys of all words that either text lacks."""
    if not (m and t):
        return [
            word for word in (*m, *t) if word.key in _DONE_TO or (word.key in _DECISIVE and not _stands(word, left))
        ]
    one, other = m[0].key, t[0].key
    keys = {one, other}
    if _share(_LINES, one, other) and not keys & _PERSONS:
        return []
    if keys & _DECISIVE or _share(_RIVALS, one, other):
        return [*m, *t]
    if m[0].content or t[0].content or (keys & _ASKED and keys & _ASKERS):
        return []
    return [*m, *t]


def _share(lines: dict[str, frozenset[int]], one: str, other: str) -> bool:
    """Whether two words stand in one of the lines."""
    return not lines.get(one, _NO_LINES).isdisjoint(lines.get(other, _NO_LINES))


def _stands(word: Word, left: frozenset[str]) -> bool:
    """Whether another word stands for one elsewhere: every class has, classes all have."""
    return any(_share(_LINES, word.key, key) for key in left if key != word.key)


def _extra(m: list[Word], t: list[Word]) -> list[Word]:
    """Words of meaning that stand in one text, but for one that says of what sort a thing is: the equation."""
    said = [word for word in (*m, *t) if word.content]
    return said if m and t else [word for word in said if word.text.lower() not in SORTS]


def _stranded(a: SmallWords, b: SmallWords) -> list[str]:
    """A preposition that ends a text, and that the other does without: who may vote for, who may vote."""
    return [a.stranded] if a.stranded and a.stranded not in b.counted else []


def _is_anybody(a: SmallWords, b: SmallWords) -> bool:
    """Whether one asks of himself what the other asks of anybody: should I wash my, should you wash your."""
    if a.asker == b.asker or _SHOULD not in a.counted or _SHOULD not in b.counted:
        return False
    return all(_OWN[text.asker] in text.counted for text in (a, b) if text.asker) and bool(a.asker and b.asker)


def _is_anybodys(m: list[Word], t: list[Word]) -> bool:
    """Whether "your" stands for "my", as where it is asked how something of anybody's is done."""
    return len(m) == len(t) == 1 and {m[0].key, t[0].key} <= _ANYBODYS


def _capitals(a: SmallWords, b: SmallWords) -> list[str]:
    """Words with capitals that mean something else than without, written otherwise in the other text."""
    if a.lowered or b.lowered:
        return []
    for low in sorted(a.cased.keys() & b.cased.keys()):
        mine, theirs = a.cased[low], b.cased[low]
        if mine != theirs and (len(mine) == len(theirs) or frozenset(mine).isdisjoint(theirs)):
            return [mine[0], theirs[0]]
    return []


def _exchanged(a: SmallWords, b: SmallWords) -> list[str]:
    """Two words that change places around the same words (brush then floss), and persons that do."""
    if a.symmetric and b.symmetric:
        return []
    if (_BY in a.counted) != (_BY in b.counted):
        return _agents(a, b) if _BY in a.counted else _agents(b, a)
    if a.content == b.content and (voiced := _voiced(a, b)) is not None:
        return voiced
    if a.content == b.content:
        texts = {word.key: word.text for word in a.words}
        there, here = _neighbours(b), _neighbours(a)
        turned = _turned(here, there) or _turned(there, here)
        if turned is not None and not any(_is_movable(texts[word]) for word in turned):
            return [texts[word] for word in turned]
    if a.content == b.content and (apart := parted(a, b)):
        return apart
    if _PERSONS.isdisjoint(a.counted):
        return []
    mine, theirs = _persons(a), _persons(b)
    if mine == theirs or sorted(mine) != sorted(theirs) or _is_turned(_told(a), _told(b)):
        return []
    return [mine[0], theirs[0]]


def _turned(here: Neighbours, there: Neighbours) -> tuple[str, str] | None:
    """Two words that follow each other here, the other way round there, and there not this way too."""
    for (x, y), between in here.items():
        if there.get((y, x)) == between and (x, y) not in there and not JOINING.issuperset(between or ("",)):
            return x, y
    return None


def _agents(passive: SmallWords, active: SmallWords) -> list[str]:
    """Who does it in a passive text, and has it done to him in the active one: hired by Anna, hired Anna."""
    there = _neighbours(active)
    done = [y for (x, y), between in _neighbours(passive).items() if between == (_BY,) and there.get((x, y)) == ()]
    return [word.text for word in passive.words if word.key in done]


def _is_movable(text: str) -> bool:
    """Whether a word may stand before or behind what it belongs to: easily online, online easily."""
    if text.lower() in _PARTICLES:
        return True
    return len(text) >= _ADVERB_CHARS and text.lower().endswith("ly") and stem(text.lower()) != text.lower()


def _told(a: SmallWords) -> list[str]:
    return [word.key for word in a.words if word.content or word.key in _PERSONS]


def _is_turned(a: list[str], b: list[str]) -> bool:
    """Whether the one begins with the clause that the other ends with: I lost it, what now; what now if I lost it."""
    return len(a) == len(b) and any(a[at:] + a[:at] == b for at in range(1, len(a)))


def _voiced(a: SmallWords, b: SmallWords) -> list[str] | None:
    """A verb that is passive in one of the texts only, unless anybody does it in the other; None where none is.

    How are mice eaten asks something else than how mice eat, and the same as how you eat mice.
    """
    mine, theirs = _BE & a.counted.keys(), _BE & b.counted.keys()
    if bool(mine) == bool(theirs):
        return None
    passive, active = (a, b) if mine else (b, a)
    there = {word.key: word.text.lower() for word in active.words if word.content}
    done = [
        word.text for word in passive.words if word.content and _is_done(word.text.lower(), there.get(word.key, ""))
    ]
    if not done:
        return None
    if _of_one_time(a, b) and all(
        word.key in _ERGATIVE for word in passive.words if word.content and word.text in done
    ):
        return []
    return [] if _DOERS & active.counted.keys() or "in" in passive.counted else done


def _of_one_time(a: SmallWords, b: SmallWords) -> bool:
    """Whether an active and a passive text speak of the same time: did they make it, was it made."""
    past = frozenset(("was", "did"))
    return past.isdisjoint(a.counted) == past.isdisjoint(b.counted)


def _is_done(low: str, there: str) -> bool:
    """Whether a verb is a participle, and another form of it stands there."""
    return low != there and there != "" and (low.endswith("ed") or is_irregular(low)) and not there.endswith("ed")


def _tenses(a: SmallWords, b: SmallWords) -> list[str]:
    """Verbs that alone differ in their time: which laws apply, which laws applied."""
    if not dict.__eq__(a.counted, b.counted):
        return []
    mine, theirs = _forms(a), _forms(b)
    apart = mine ^ theirs
    past = {(key, low) for key, low in apart if low.endswith("ed")}
    # A word that is told as past in both is written otherwise: canceled, cancelled.
    both = {key for key, _ in mine - past} & {key for key, _ in theirs} | {key for key, _ in theirs - past} & {
        key for key, _ in mine
    }
    return sorted(low for key, low in past if key in both)


def _forms(a: SmallWords) -> set[tuple[str, str]]:
    """Words of meaning by key; not those that another one stands for, as "forbidden" for "not allowed"."""
    said = ((word.key, word.text.lower()) for word in a.words if word.content)
    return {(key, low) for key, low in said if stem(low) == key}


def _neighbours(a: SmallWords) -> Neighbours:
    """Words of meaning that follow each other, with the little words between them but for persons."""
    runs: list[tuple[str, tuple[str, ...]]] = []
    between: tuple[str, ...] = ()
    for word in a.words:
        if word.content:
            runs.append((word.key, between))
            between = ()
        elif word.key not in _PERSONS:
            between = (*between, word.key)
    return {(x, y): little for (x, _), (y, little) in pairwise(runs)}


def _persons(a: SmallWords) -> list[str]:
    return [word.key for word in a.words if word.key in _PERSONS]
