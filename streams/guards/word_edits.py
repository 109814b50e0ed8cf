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
from itertools import chain, pairwise
from typing import NamedTuple

from refrain.streams.guards import marks
from refrain.streams.guards.alone import alone
from refrain.streams.guards.foreign_edits import unsaid
from refrain.streams.guards.item import Word
from refrain.streams.guards.lexicon import groups, words
from refrain.streams.guards.names import SORTS
from refrain.streams.guards.scope import IS, denied, halves, not_all, parted, several, times
from refrain.streams.guards.small_words import JOINING, LIMITING, PERSONS, SmallWords
from refrain.streams.guards.stems import related, stem
from refrain.streams.guards.tenses import aspects, did, tenses
from refrain.streams.guards.uses import counted, kept, named_deed, uses, which
from refrain.streams.guards.voice import (
    ASKERS,
    BE,
    HAVING,
    governed,
    has_done,
    of_one_time,
    undergoes,
    undergone,
    voiced,
)

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
_DONE_TO = frozenset(groups("persons")[0])
_ONES = _by_word(
    one.split()
    for one in ("i me my mine we us our ours", "you your yours", "he him his", "she her hers", "they them their theirs")
)
"""Words that speak of the same person."""
_DECISIVE = words("decisive") | LIMITING
_OPTIONAL = words("optional")
_TURNING = frozenset("before after till since without not never but against than do_what".split())
"""Little words that no word of meaning in their place says otherwise."""
_LIGHT = frozenset("take make do have get".split())
"""Verbs that say no more than the thing that is done: take a screenshot, screenshot."""
_OPERATORS = frozenset("^ $ + = < > % | ~ @ += -= *= == === != !== <= >= << >> && || ++ ** // ?. -> <-".split())
"""Signs of which one more asks for something else; a slash, a dash or a bullet may be the writer's own."""
_GRADES = _by_word([*line, *map(stem, line)] for line in groups("grades"))
_SENSES = _by_word(groups("senses"))
"""Forms of one word that mean something else: glass, glasses."""
_RIVALS = _by_word([*line, *map(stem, line)] for line in [*groups("rivals"), *groups("grades")])
"""Words of which one asks for something else than another in its place, also where it is no little word."""
_ASKED = frozenset(("should", "can"))
"""Words before the asker that an opening takes in, and him with them."""
_HOWTO = "howto"
_OF_ANYBODY = frozenset("howto should advice cando mustdo duty".split())
"""What asks the same of himself as of anybody: what should I do, what should you do."""
_CLAUSES = frozenset(("if", "when"))
_I, _YOU = "i", "you"
_OWN = {
    _I: frozenset("i me my mine".split()),
    _YOU: frozenset("you your yours".split()),
    "one": frozenset("they them their theirs".split()),
}
"""Words that speak of who asks and of nobody else, by how he calls himself."""
_ANYBODY = frozenset(("one",)).union(*_OWN.values())
_ANYBODYS = frozenset(("my", "your", "our", "one"))
_OF_VOICE = BE | {"they", "someone", "did", "by"}
"""Words by which a sentence whose doer is anybody differs from a passive one."""
_DID = frozenset(("did",))
_DEED = frozenset(("was", "of"))
_KEPT_FROM = frozenset(("from",))
_MADE_TO = frozenset(("to", "get", "make", "let"))
_DOER = ("er", "ers", "or", "ors")
_DOING = "ing"
_ROOT_CHARS = 4
_WORDING = frozenset(("from", "did", "while"))
_SAID_OF = frozenset("good bad normal healthy safe high low fair".split())
_WHO, _WHILE = "who", "while"
_BY, _OF, _MADE = "by", "of", "make"
_ADVERB_CHARS = 6
_PARTICLES = frozenset("back away together apart aside always often".split())
"""Words that may stand before or behind what a verb is about: get my deposit back, get back my deposit; always."""
_EDIT_MAX = 2
_FEW = 2
"""Words of a request, at least, that another one may have with more."""


class Edits(NamedTuple):
    """Differing words: `harmful` ones ask another question, `extra` ones may."""

    harmful: tuple[str, ...]
    extra: tuple[str, ...] = ()


def anew(a: SmallWords, b: SmallWords) -> tuple[str, ...]:
    """Differences: the word by which only one of the texts asks anew."""
    return (a.anew or b.anew,) if bool(a.anew) != bool(b.anew) else ()


def signs(a: SmallWords, b: SmallWords) -> tuple[str, ...]:
    """Differences: the symbols of both texts, when they are not the same, and signs in the place of others."""
    if a.signs != b.signs:
        return (*a.signs, *b.signs)
    return marks.differences(a.marks, b.marks)


def is_frame(a: SmallWords, b: SmallWords) -> bool:
    """Whether most words of the texts are the same, or all words of meaning are."""
    if max(len(a.words), len(b.words)) > WORDS_MAX:
        return False
    if a.content == b.content:
        return True
    both = sum([min(a.counted[key], b.counted[key]) for key in a.counted.keys() & b.counted.keys()])
    return 2_000 * both >= FRAME * (len(a.words) + len(b.words)) or 1 < both + 1 == len(a.words) == len(b.words)


def wanted(a: SmallWords, b: SmallWords) -> tuple[str, ...]:
    """Words of meaning that one of two requests has more than the other, of which it has all: list herbs in order."""
    if len(a.keys) == len(b.keys):
        return ()
    long, short = (a, b) if len(a.keys) > len(b.keys) else (b, a)
    if not all(count <= long.counted.get(key, 0) for key, count in short.counted.items()) or len(short.keys) < _FEW:
        return ()
    return tuple([word.text for word in long.words if word.content and word.key not in short.counted])


def edit(a: SmallWords, b: SmallWords, apart: Sequence[str], asking: bool) -> str:
    """How two texts differ in the words that are `apart`: one "replaced" by another, one "inserted", or "said".

    `asking` is whether both ask something: what describes may say more of the same.
    """
    if len(apart) == 1 and asking and abs(len(a.keys) - len(b.keys)) == 1:
        long, short = (a, b) if len(a.keys) > len(b.keys) else (b, a)
        return "inserted" if _is_inserted(long, short, apart[0]) else "said"
    if len(apart) == 2 and is_frame(a, b) and _is_replaced(a, b, *apart):
        return "replaced"
    return "said"


def _is_replaced(a: SmallWords, b: SmallWords, one: str, other: str) -> bool:
    """Whether a word stands in one text beside the word, or between those, of another in the other."""
    here, there = _place(a, one), _place(b, other)
    if here < 0 or there < 0:
        return False
    return any(_beside(a.keys, here + by) == _beside(b.keys, there + by) for by in (-1, 1))


def _is_inserted(long: SmallWords, short: SmallWords, one: str) -> bool:
    """Whether a word before another one of meaning is all that a text has more: a free subscription."""
    at = _place(long, one)
    if at < 0 or at + 1 == len(long.keys) or long.keys[at] in _LIGHT or not long.words[at + 1].content:
        return False
    return (*long.keys[:at], *long.keys[at + 1 :]) == short.keys


def _place(a: SmallWords, text: str) -> int:
    return next((at for at, word in enumerate(a.words) if word.text == text), -1)


def _beside(keys: Sequence[str], at: int) -> str:
    return keys[at] if 0 <= at < len(keys) else ""


def edits(a: SmallWords, b: SmallWords) -> Edits:
    """Compare the words of two texts that share a frame. Symmetric in effect."""
    if a.keys == b.keys:
        # Neither lacks a word of the other, and none has moved: only how they are written may differ.
        return Edits((*_capitals(a, b), *tenses(a, b), *several(a, b), *_otherwise(a, b), *counted(a, b), *which(a, b)))
    over, under = _over(a, b), _over(b, a)
    mine, theirs = _left(a, b, over, under), _left(b, a, under, over)
    deeds = _doers(a, b, [key for key in over if key not in mine], [key for key in under if key not in theirs])
    if a.content == b.content and voiced(a, b) == [] and of_one_time(a, b):
        mine, theirs = mine - _OF_VOICE, theirs - _OF_VOICE
    mine, theirs = mine - _DID if did(a, b) else mine, theirs - _DID if did(b, a) else theirs
    left = mine | theirs
    if not left.isdisjoint(_WORDING):
        mine, theirs = _without_wording(a, b, mine, theirs)
    changed = _changes(a, b, mine, theirs)
    anybody = _is_anybody(a, b)
    general = anybody or (_HOWTO in a.counted and _HOWTO in b.counted)
    own = a.asker == b.asker == _I
    left = mine | theirs
    if a.symmetric and b.symmetric:
        changed = [(m, t) for m, t in changed if not {word.key for word in (*m, *t)} <= JOINING]
    harmful = [
        word.text
        for m, t in changed
        for word in _harmful(m, t, left)
        if not (general and _is_anybodys(m, t, anybody, own))
    ]
    if len(mine) == len(theirs) == 1 and not harmful:
        harmful += _rivals(*mine, *theirs)
    if len(changed) == 1:
        harmful += alone(a, b, chain.from_iterable(changed[0]))
    if not left.isdisjoint(HAVING):
        harmful += has_done(a, b) + has_done(b, a)
    harmful += deeds + undergone(a, b) + undergone(b, a) + several(a, b) + uses(a, b) + _otherwise(a, b) + counted(a, b)
    harmful += _stranded(a, b) + _stranded(b, a) + _capitals(a, b) + _exchanged(a, b) + tenses(a, b) + times(a, b)
    harmful += aspects(a, b)
    harmful += not_all(a, b) + halves(a, b)
    extra = [w.text for m, t in changed for w in _extra(m, t)] if a.request or b.request else []
    return Edits(tuple(harmful), tuple(extra))


def _without_wording(
    a: SmallWords, b: SmallWords, mine: frozenset[str], theirs: frozenset[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Left words but for those of two ways to say one thing: stop it from barking, get it to stop barking."""
    if _WHILE in mine and _TURNING.isdisjoint(theirs):
        mine -= _while(a)
    if _WHILE in theirs and _TURNING.isdisjoint(mine):
        theirs -= _while(b)
    if mine >= _KEPT_FROM and kept(a, b):
        return mine - _KEPT_FROM, theirs - _MADE_TO
    if theirs >= _KEPT_FROM and kept(b, a):
        return mine - _MADE_TO, theirs - _KEPT_FROM
    if mine >= _DID and named_deed(a, b):
        return mine - _DID, theirs - _DEED
    if theirs >= _DID and named_deed(b, a):
        return mine - _DEED, theirs - _DID
    return mine, theirs


def _while(a: SmallWords) -> frozenset[str]:
    """A "while" that says nothing: while on the pill, while studying; not while I study."""
    said = any(x.key == _WHILE and y.key in PERSONS for x, y in pairwise(a.words))
    return frozenset() if said else frozenset((_WHILE,))


def any_difference(a: SmallWords, b: SmallWords, languages: frozenset[str]) -> tuple[str, ...]:
    """Differences: every word that only one says, in `languages` without word lists, and two that change places."""
    return unsaid(a, b, languages) or tuple(_exchanged(a, b))


def _left(a: SmallWords, b: SmallWords, over: list[str], under: list[str]) -> frozenset[str]:
    """Keys of words that a text has more often (`over`), and that no other form or synonym in the other says."""
    if not over:
        return frozenset()
    there = [word for word in b.words if word.key in under]
    left = frozenset(
        [word.key for word in a.words if word.key in over and not any(_paired(word, other) for other in there)]
    )
    return left - _joined(a, b) if left and len(a.keys) != len(b.keys) else left


def _joined(a: SmallWords, b: SmallWords) -> frozenset[str]:
    """Keys of neighbours that the other text writes as one: drop-down, dropdown."""
    return frozenset(key for x, y in pairwise(a.keys) if x + y in b.counted for key in (x, y))


def _otherwise(a: SmallWords, b: SmallWords) -> list[str]:
    """Forms of one word of which each means something else: glass, glasses."""
    if not (a.sensed or b.sensed):
        return []
    mine, theirs = set(a.sensed), set(b.sensed)
    return [
        low for x in sorted(mine - theirs) for y in sorted(theirs - mine) if _share(_SENSES, x, y) for low in (x, y)
    ]


def _doers(a: SmallWords, b: SmallWords, mine: list[str], theirs: list[str]) -> list[str]:
    """Who does something in one text, and that it is done in the other, of forms of one word: writers, writing."""
    if not (mine and theirs) or _WHO in a.counted or _WHO in b.counted or a.words[0].content or b.words[0].content:
        # Who does it is who it is asked about, and people playing are players.
        return []
    alike = [(x, y) for x in mine for y in theirs if x[:_ROOT_CHARS] == y[:_ROOT_CHARS]]
    return [text for x, y in alike for text in _doer(_text(a, x), _text(b, y))]


def _text(a: SmallWords, key: str) -> str:
    return next(word.text for word in a.words if word.key == key)


def _doer(x: str, y: str) -> list[str]:
    """Two words of a root of which one says who does it, and the other that it is done: writers, writing."""
    low, other = sorted((x.lower(), y.lower()), key=lambda each: each.endswith(_DOING))
    return [x, y] if low.endswith(_DOER) and other.endswith(_DOING) else []


def _over(a: SmallWords, b: SmallWords) -> list[str]:
    """Keys of words that a text has more often."""
    return [key for key, count in a.counted.items() if count > b.counted.get(key, 0)]


def _paired(m: Word, t: Word) -> bool:
    if not (m.content and t.content) or _share(_GRADES, m.key, t.key):
        return False
    return bool(m.groups & t.groups) or related(m.key, t.key)


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
            if len(who := _among(PERSONS, m)) == len(whom := _among(PERSONS, t)) == 1 and not _share(
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
        return [word for word in (*m, *t) if word.key in _DONE_TO or (_decides(word) and not _stands(word, left))]
    one, other = m[0].key, t[0].key
    keys = {one, other}
    if _share(_LINES, one, other) and not keys & PERSONS:
        return []
    if keys & _DECISIVE or _share(_RIVALS, one, other):
        return [*m, *t]
    if m[0].content != t[0].content:
        return [*m, *t] if (t[0] if m[0].content else m[0]).key in _TURNING else []
    if m[0].content or (keys & _ASKED and keys & ASKERS):
        return []
    return [*m, *t]


def _rivals(one: str, other: str) -> list[str]:
    """The only two words that each text lacks of the other, where one asks for something else, wherever they stand."""
    return [one, other] if _share(_RIVALS, one, other) and not _share(_LINES, one, other) else []


def _decides(word: Word) -> bool:
    """Whether a word more asks for something else: any little word that is not known to be harmless, and a sign."""
    if word.key in _DECISIVE:
        return True
    return word.key in _OPERATORS if word.content else word.key not in _OPTIONAL


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
    if a.stranded == _OF:
        # What a thing is made of; "of" is said of many others.
        return [_OF] if a.keys[-2:-1] == (_MADE,) and _MADE not in b.counted else []
    if not a.stranded or a.stranded in b.counted:
        return []
    return [next((word.text for word in reversed(a.words) if word.key == a.stranded), a.stranded)]


def _is_anybody(a: SmallWords, b: SmallWords) -> bool:
    """Whether one asks of himself what the other asks of anybody: should I wash my, should you wash your."""
    mine, theirs = _asks_for(a), _asks_for(b)
    if mine == theirs or not (mine and theirs):
        return False
    if not (_is_of_anybody(a) and _is_of_anybody(b)):
        return False
    return all(PERSONS.isdisjoint(text.counted.keys() - _OWN[who]) for text, who in ((a, mine), (b, theirs)))


def _is_of_anybody(a: SmallWords) -> bool:
    return not _OF_ANYBODY.isdisjoint(a.counted)


def _asks_for(a: SmallWords) -> str:
    """Of whom it is asked: who does it, or who is spoken of in a clause: what can be done if a wasp stings me."""
    if a.asker in (_I, _YOU) or (not a.asker and _CLAUSES.isdisjoint(a.counted)):
        return a.asker
    return next((who for who, own in _OWN.items() if not own.isdisjoint(a.counted)), a.asker)


def _is_anybodys(m: list[Word], t: list[Word], anybody: bool, own: bool) -> bool:
    """Whether "your" stands for "my", as where it is asked how something of anybody's is done; or "you" for "me".

    Where both texts ask how they do it themselves (`own`), it is somebody else's: how do I read your terms.
    """
    if own:
        return False
    keys = {word.key for word in (*m, *t)}
    return len(m) == len(t) == 1 and (keys <= _ANYBODYS or (anybody and keys <= _ANYBODY))


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
    if a.content == b.content and (done := undergoes(a, b) or undergoes(b, a) or voiced(a, b)) is not None:
        return done
    if a.content == b.content:
        texts = {word.key: word.text for word in a.words}
        there, here = _neighbours(b), _neighbours(a)
        turned = _turned(here, there) or _turned(there, here)
        if (
            turned is not None
            and not any(word in _PARTICLES or _is_movable(texts[word]) for word in turned)
            and not _is_said_of(a, b, turned)
        ):
            return [texts[word] for word in turned]
    if a.content == b.content and (apart := parted(a, b) or denied(a, b) or governed(a, b) or governed(b, a)):
        return apart
    if PERSONS.isdisjoint(a.counted):
        return []
    mine, theirs = _persons(a), _persons(b)
    if a.content == b.content and (of := _owner(a, b, mine, theirs) or _owner(b, a, theirs, mine)):
        return of
    if mine == theirs or sorted(mine) != sorted(theirs) or _is_turned(_told(a), _told(b)):
        return []
    return [mine[0], theirs[0]]


def _owner(a: SmallWords, b: SmallWords, mine: list[str], theirs: list[str]) -> list[str]:
    """Who does it in one text, and whose it is that the asker does in the other: my wife pays, I pay my wife's."""
    if not (b.asker and not a.asker) or not BE.isdisjoint(a.counted.keys() | b.counted.keys()) or not mine:
        return []
    order, other = ([word.key for word in text.words if word.content] for text in (a, b))
    if order[:2] != other[1::-1] or mine[0] not in theirs:
        return []
    return [mine[0], b.asker]


def _is_said_of(a: SmallWords, b: SmallWords, turned: Sequence[str]) -> bool:
    """Whether it is asked if something is good: is this restaurant good, is this a good restaurant."""
    if len(a.content) != len(turned) or not (a.keys[0] == b.keys[0] == IS):
        return False
    return not _SAID_OF.isdisjoint(turned)


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
    return [word.key for word in a.words if word.content or word.key in PERSONS]


def _is_turned(a: list[str], b: list[str]) -> bool:
    """Whether the one begins with the clause that the other ends with: I lost it, what now; what now if I lost it."""
    return len(a) == len(b) and any(a[at:] + a[:at] == b for at in range(1, len(a)))


def _neighbours(a: SmallWords) -> Neighbours:
    """Words of meaning that follow each other, with the little words between them but for persons."""
    runs: list[tuple[str, tuple[str, ...]]] = []
    between: tuple[str, ...] = ()
    for word in a.words:
        if word.content:
            runs.append((word.key, between))
            between = ()
        elif word.key not in PERSONS:
            between = (*between, word.key)
    return {(x, y): little for (x, _), (y, little) in pairwise(runs)}


def _persons(a: SmallWords) -> list[str]:
    return [word.key for word in a.words if word.key in PERSONS]
