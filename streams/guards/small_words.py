"""All words of a text for the guard `words`: harmless ones left out, openings that ask the same as one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from refrain.streams.guards.content_words import FUNCTION
from refrain.streams.guards.item import LOW, WORDLY, Item, Said, Word
from refrain.streams.guards.lexicon import Phrases, groups, pairs, renderings, words
from refrain.streams.guards.marks import read_marks
from refrain.streams.guards.names import is_title
from refrain.streams.guards.roles import ENDS

_HARMLESS = words("harmless")
_SAME = {word: line[0] for line in groups("same_words") for word in line}
_CASED = words("cased") | words("cased_kinds") | {"\\"}
_KINDS = words("cased_kinds")
_ESCAPE = "\\"
"""The sign before a letter that stands for a class of them, with a capital for all others."""
_WHETHER = "whether"
_ADVERBS = frozenset("exactly actually really literally honestly basically".split())
"""Harmless words that may stand within an opening: how exactly do I."""
_ARTICLES = frozenset(("a", "an"))
_SOME_OF_IT = frozenset("little hair change room paper company iron light".split())
"""Words that say how much of it without an article, and one with it: make change, make a change."""
_OF_ONE = frozenset(
    "a an the my your our his her its their this that these those very so too as how what which no any some".split()
)
_ARTICLED = {
    **dict.fromkeys("number second third".split(), ("a", "the")),
    **dict.fromkeys(_SOME_OF_IT, ("", "a")),
    **dict.fromkeys("church school prison jail court mass office man time most".split(), ("", "the")),
}
"""Words that mean something else by which of two articles they have: a number of, the number of; little, a little."""
OWNS = ("'s", "s'")
_DEFINED, _IS, _THE, _A = frozenset(("what", "who")), "is", "the", "a"
_LONE = 3
"""Place of the word behind an article that ends a text: what is a planet."""
_BARE = frozenset("is does do did was to for of in at on with there have has".split())
_HAVING = frozenset(("has", "have", "had", "get", "gets", "win", "wins"))
_MOST, _NO_PLURALS = "most", ("ous", "ss", "us")
"""Words behind which one stands without an article."""
_ANEW = words("anew")
_SENSED = words("senses")
_TO = "to"
_ONCE, _MORE, _TIME, _WAY = "once", "more", "time", "way"
LIMITING = words("limiting")
"""Words that say how far something holds, compared as they are written."""
PERSONS = words("persons")
_REQUESTS = words("requests") | words("instructions")
_ASKERS = {"i": "i", "you": "you"} | dict.fromkeys("one someone somebody anyone people".split(), "one")
_TOOLS = frozenset("excel word go rust ruby julia swift scala dart basic java".split())
_BEFORE_TOOLS = frozenset(("in", "using"))
_GOT, _HOW = (
    frozenset("get make build sell buy read write draw generate create add put".split()),
    frozenset("how why".split()),
)
_GIVING = _REQUESTS | {"any", "some"}
_ALONE = frozenset("again anew another instead redo retry regenerate".split())
"""Words that ask anew at the end of a text, or as its first."""
_BEFORE_ELSE = frozenset("what who where how when which anything something anyone someone nobody nothing".split())
_BETWEEN = frozenset("me us some a few one two three the an many please".split())
"""Words that may stand between "give" and "more"."""
JOINING = frozenset(("and", "or", "vs", "versus", "/"))
"""Words that join two of which the order says nothing."""
_STRANDED = frozenset("for to with from about of".split())
"""Prepositions that ask for what they govern where they end a text."""
_WORD, _KEY = attrgetter("word"), attrgetter("key")
_NO_GROUPS: frozenset[int] = frozenset()
_MARKS = frozenset(("stop", "quote", "bracket", "sign"))
_CAN = "can could do would should might shall".split()
_I = "i you we one someone somebody u".split()


class SmallWords(NamedTuple):
    """All words of a text in their order, but for numbers, and what else of it is compared in a frame."""

    words: tuple[Word, ...]
    keys: tuple[str, ...]
    """By which they are the same."""
    counted: dict[str, int]
    """How often each stands there."""
    content: tuple[str, ...]
    """Keys of the words that are no little words, in the order of the alphabet."""
    signs: tuple[str, ...]
    marks: frozenset[str]
    """Signs, symbols or not, that stand alone within a line, as those do that it speaks of: what does ./ mean."""
    cased: dict[str, tuple[str, ...]]
    """How words are written that mean something else with capitals; those that open a sentence left out."""
    lowered: bool
    """Whether capitals say nothing: its writer uses none, or writes most words with one."""
    anew: str
    """The word by which the text asks for another answer than the one that was given."""
    request: bool
    """Whether a verb opens the text that asks for something to be done."""
    stranded: str
    """A preposition that ends it, "" where none does: who may vote for."""
    symmetric: bool
    """Whether it compares things, whose order says nothing."""
    sensed: tuple[str, ...]
    """Words, folded, of which another form means something else: glasses."""
    articled: dict[tuple[str, str], str]
    """Words that mean something else by their article, each with the word behind it, and that article."""
    owners: tuple[str, ...]
    """Whose something is, as words are written, in their order: my brother's."""
    asker: str
    """Who does it by the first word of it that says so: i, you, one (anybody)."""


_TO_THE_ASKER = frozenset("give show write find recommend suggest list name teach draft cost".split())
"""Verbs before a "me" that says no more than who asks: give me, it costs me."""
_LISTING = frozenset("list name enumerate state mention identify".split())
"""Requests that ask for several things, as the first word of a text."""
_WANTED = frozenset(
    "a an the me us my our this these those all some any every each him her them one two three four five six"
    " ten".split()
)
"""Words behind a verb that opens a request: what is wanted, or for whom."""
_REQUEST_MIN = 3
_LISTED = frozenset("the all some any every".split())
_LIST = Word("list_out", _NO_GROUPS, "list", False)
_SAID_TO = frozenset(("explain", "describe"))
_WHAT, _DOES = "what", frozenset(("do", "does"))
_DO = Word("do_what", _NO_GROUPS, "do", False)
"""What a thing does, where that is asked for; elsewhere a "do" says nothing: what does lactose do."""
_DOING_MIN = 2
_TELL = "tell"
_ME, _TO_ME = "me", Word("to_the_asker", _NO_GROUPS, "me", False)


class _Meant(NamedTuple):
    """What an opening comes to, and how many words behind it only tell that it is one."""

    keys: tuple[str, ...]
    behind: int


def _openers() -> Iterator[tuple[list[str], _Meant]]:
    for left, right in [each for line in pairs("openers") for each in renderings(*line)]:
        for can in _CAN if "{can}" in left else [""]:
            for i in _I if "{i}" in left else [""]:
                said, _, behind = left.replace("{can}", can).replace("{i}", i).partition("/")
                yield [*said.split(), *behind.split()], _Meant(tuple(right.split()), len(behind.split()))


_OPENERS = Phrases(_openers())


def read_small_words(said: Said, used: frozenset[int], text: str, symmetric: bool) -> SmallWords:
    """Extract all words of a text; `used` are items that are parts of numbers."""
    items, lows = said.items, said.lows
    free = [item for at, item in enumerate(items) if at not in used] if used else items
    found = tuple(words_of(free, list(map(LOW, free)) if used else lows, _is_counted(items, lows, used)))
    keys = tuple(map(_KEY, found))
    cased = {} if _CASED.isdisjoint(lows) else _cased(items)
    return SmallWords(
        found,
        keys,
        _counted(keys),
        tuple(sorted([word.key for word in found if word.content])),
        _symbols(items) if "sign" in said.kinds or not text.isascii() else (),
        read_marks(said, text),
        cased,
        text == text.lower() or (cased != {} and is_title([item for item in items if item.kind in WORDLY])),
        "" if _ANEW.isdisjoint(lows) else _anew(items),
        bool(lows) and (lows[0] in _REQUESTS or _is_request(items)),
        _stranded(lows),
        symmetric,
        () if _SENSED.isdisjoint(lows) else tuple([low for low in lows if low in _SENSED]),
        {} if _ARTICLED.keys().isdisjoint(lows) and not _is_lone(lows) else _articled(lows),
        tuple([word.text for word in found if word.content and word.text.endswith(OWNS)]) if "'" in text else (),
        next((_ASKERS[low] for low in lows if low in _ASKERS), ""),
    )


def _counted(keys: Sequence[str]) -> dict[str, int]:
    """How often each stands there: once, in most texts, and a counter takes far longer to tell that."""
    found = dict.fromkeys(keys, 1)
    return found if len(found) == len(keys) else Counter(keys)


def _is_counted(items: Sequence[Item], lows: Sequence[str], used: frozenset[int]) -> bool:
    """Whether a number stands behind the first word that lists: name three, please list 5."""
    if not used or _LISTING.isdisjoint(lows) or not items[0].initial:
        return False
    return next(at for at, low in enumerate(lows) if low in _LISTING) + 1 in used


def words_of(items: Sequence[Item], lows: Sequence[str], counted: bool = False) -> list[Word]:
    """The words of items in their order, openings that ask the same as one; `lows` are their folded forms.

    `counted` is whether a number stood behind the word that lists.
    """
    if not _ADVERBS.isdisjoint(lows):
        items = [item for item in items if item.low not in _ADVERBS]
        lows = list(map(LOW, items))
    found: list[Word] = []
    # Whether oats have gluten: it asks what "do oats have gluten" does.
    done = int(bool(lows) and lows[0] == _WHETHER and items[0].initial)
    for start, end, (meant, behind) in _OPENERS.spans(lows):
        end -= behind
        if not meant and all(low in ENDS for low in lows[end:]):
            # It opens nothing: what should my doctor tell me?
            continue
        if not meant and lows[start] == _TELL and start and (before := items[start - 1].word) and before.content:
            # Somebody else is to tell: should my doctor tell me about it?
            continue
        found += filter(None, map(_WORD, items[done:start]))
        found += (Word(key, _NO_GROUPS, items[start].text, False) for key in meant)
        done = end
    found += filter(None, map(_WORD, items[done:]))
    if lows and lows[0] == _WHAT and (doing := _doing(lows)) >= max(done, _DOING_MIN):
        found.append(_DO._replace(text=items[doing].text))
    if not _LISTING.isdisjoint(lows):
        first = next((at for at, low in enumerate(lows) if low not in _HARMLESS), 0)
        if lows[first] in _LISTING and (counted or _is_listed(items, first)):
            found[0] = _LIST._replace(text=items[first].text)
    if _ME in lows:
        found = [_TO_ME if word.key == _ME and _is_polite(found, at) else word for at, word in enumerate(found)]
    return found


def _articled(lows: Sequence[str]) -> dict[tuple[str, str], str]:
    """Words that mean something else by the article before them, with the word behind each: (number, of): a."""
    found: dict[tuple[str, str], str] = {}
    if _is_lone(lows):
        found[lows[_LONE], ""] = _THE if lows[_LONE - 1] == _THE else _A
    for at in range(1, len(lows) - 1):
        if lows[at] in _ARTICLED:
            before = lows[at - 1]
            bare = before in _BARE or (lows[at] in _SOME_OF_IT and before not in _OF_ONE)
            article = "" if bare else before
            if article in _ARTICLED[lows[at]] and (lows[at] != _MOST or _is_most_of(lows, at)):
                found[lows[at], lows[at + 1]] = article
    return found


def _is_lone(lows: Sequence[str]) -> bool:
    """Whether a text asks what one thing is, which its article tells from another: what is a planet, the planet."""
    if (
        not _LONE < len(lows) <= _LONE + 2
        or lows[0] not in _DEFINED
        or lows[1] != _IS
        or not ENDS.issuperset(lows[_LONE + 1 :])
    ):
        return False
    return lows[_LONE - 1] == _THE or lows[_LONE - 1] in _ARTICLES


def _is_most_of(lows: Sequence[str], at: int) -> bool:
    """Whether a "most" may say of how many it is so, rather than who has more than all others."""
    behind = lows[at + 1]
    if not _HAVING.isdisjoint(lows[max(0, at - 2) : at]):
        return False
    return behind == "people" or (behind.endswith("s") and not behind.endswith(_NO_PLURALS))


def _doing(lows: Sequence[str]) -> int:
    """Where the "do" stands that ends a text, before its mark if it has one; -1 where none does."""
    at = len(lows) - 1 - (lows[-1] in ENDS)
    return at if lows[at] in _DOES else -1


def _is_listed(items: Sequence[Item], at: int) -> bool:
    """Whether what opens a sentence says to list what stands behind: name the, list three, kindly list all."""
    if not items[0].initial or at + 1 == len(items):
        return False
    return items[at + 1].low in _LISTED or items[at + 1].kind == "number"


def _stranded(lows: Sequence[str]) -> str:
    """The preposition that ends a text, before its mark if it has one; "" where none does."""
    at = len(lows) - 1 - (lows[-1:] != [] and lows[-1] in ENDS)
    last = lows[at] if at >= 0 else ""
    if last not in _STRANDED or (last == _TO and at and lows[at - 1] == "how"):
        # Sourdough starter, how to: it asks how.
        return ""
    return last


def _is_polite(found: Sequence[Word], at: int) -> bool:
    """Whether a "me" is that of "give me", "explain it to me" or "write it for me"."""
    before = found[at - 1].key if at else ""
    if before in _TO_THE_ASKER:
        return True
    verbs = _SAID_TO if before == "to" else _TO_THE_ASKER if before == "for" and at + 1 == len(found) else ()
    return any(word.key in verbs for word in found[:at])


def word_of(item: Item) -> Word | None:
    """A word as it is compared; None for marks and for words that are harmless wherever they stand."""
    if item.kind in _MARKS or item.low in _HARMLESS:
        return None
    function = item.low in FUNCTION or item.low in _SAME or item.low in JOINING or item.low in LIMITING
    key = item.low if function else item.stem
    return Word(_SAME.get(key, key), _NO_GROUPS if function else item.groups, item.text, not function)


def _is_request(items: Sequence[Item]) -> bool:
    """Whether a word of meaning opens a text that asks no question, before what is wanted: plan a trip, ask me."""
    if len(items) < _REQUEST_MIN or items[0].word is None or not items[0].word.content or items[-1].low == "?":
        return False
    return items[1].low in _WANTED or items[1].kind == "number"


def _symbols(items: Sequence[Item]) -> tuple[str, ...]:
    """Signs that are symbols (mathematics, currency) rather than marks, and lone letters with marks (ü), in order."""
    signs = [item.text for item in items if item.kind == "sign" and unicodedata.category(item.text[0])[0] == "S"]
    return tuple(sorted([*signs, *(item.text for item in items if _is_lone_letter(item))]))


def _is_lone_letter(item: Item) -> bool:
    """Whether an item is one letter beyond ASCII, of which the folded form is another one: ñ, n."""
    return len(item.text) == 1 and item.kind == "word" and not item.text.isascii()


def _cased(items: Sequence[Item]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for at, item in enumerate(items):
        if len(item.text) == 1 and at and items[at - 1].low == _ESCAPE:
            found[_ESCAPE + item.low] = (item.text,)
        if item.low not in _CASED or item.initial or item.text.lower() != item.low or _is_tool(items, at):
            continue
        if item.low not in _KINDS or item.text != item.low or items[at - 1].low in _ARTICLES:
            found[item.low] = (*found.get(item.low, ()), item.text)
    return found


def _is_tool(items: Sequence[Item], at: int) -> bool:
    """Whether a word names, however written, that in which something is done: in excel, in go."""
    return items[at].low in _TOOLS and at > 0 and items[at - 1].low in _BEFORE_TOOLS


def _anew(items: Sequence[Item]) -> str:
    for at, item in enumerate(items):
        if item.kind not in WORDLY or item.low not in _ANEW:
            continue
        if item.low == _MORE and at and (items[at - 1].low == _ONCE or _is_time(items, at + 1)):
            return item.text
        edge = at == 0 or at + 1 == len(items) or items[at + 1].kind == "stop"
        if item.low == "else":
            if at and items[at - 1].low in _BEFORE_ELSE:
                return item.text
        elif (item.low in _ALONE and (edge or _is_other_way(items, at))) or _given(items, at):
            return item.text
    return ""


def _is_other_way(items: Sequence[Item], at: int) -> bool:
    """Whether a text ends with "another way", or with "a different way"."""
    behind = [item.low for item in items[at + 1 : at + 3]]
    return behind[:1] == [_WAY] and ENDS.issuperset(behind[1:])


def _is_time(items: Sequence[Item], at: int) -> bool:
    return at < len(items) and items[at].low == _TIME


def _given(items: Sequence[Item], at: int) -> bool:
    """Whether what stands before a word is "give me some"."""
    place = next((place for place in range(at - 1, -1, -1) if items[place].low not in _BETWEEN), -1)
    if place < 0 or items[place].low not in _GIVING:
        return False
    # How somebody gets more followers asks for nothing more.
    return items[place].low not in _GOT or all(item.low not in _HOW for item in items[:place])
