"""What words are used for in two texts that have most of them in common: who eats lions, whom lions eat.

Each kind looks first whether a word of its own stands in the texts; in most of them none does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from refrain.streams.guards.item import Word
from refrain.streams.guards.lexicon import groups
from refrain.streams.guards.small_words import OWNS, PERSONS, SmallWords
from refrain.streams.guards.stems import ends_past, may_be_past, stem
from refrain.streams.guards.voice import ASKERS, BE

_WHICH = "which"
_UNKNOWN = frozenset((_WHICH, "who"))
_DID, _HAS, _WAS = "did", "has", "was"
_TO, _USED, _DUTY = "to", "used", "duty"
_INTENDING = frozenset(map(stem, "stop forget remember regret".split()))
"""Verbs behind which "to" says what is done then, and another form what is done before: stop smoking, stop to smoke."""
_TIMES = frozenset(map(stem, "second minute hour day night week weekend month quarter year decade century".split()))
_IN_TIME = frozenset(("for", "in"))
"""Prepositions before a time that say how long, and by when."""
_WOULD, _IF, _WHEN = "would", "if", "when"
_LOOK, _LIKE = "look", "like"
_DEFINING = (("which", "is"), frozenset(("is", "'s", "what's", "whats")))
"""How a text opens that asks what one thing is."""
_FITTING = frozenset("good great best right normal".split())
"""Words by which a text asks how a thing should be, rather than what it is: what is a good APR."""
_WANTING = frozenset((_HAS, "want", "like"))
_YOU = "you"
_NEEDING = ASKERS | {_YOU}
_NEED, _ING = "need", "ing"
_YESTERDAY, _TOMORROW, _LAST, _NEXT = "yesterday", "tomorrow", "last", "next"
_TIMED = frozenset((_YESTERDAY, _TOMORROW, _LAST, _NEXT))
_DATED = _TIMES | frozenset(map(stem, "spring summer autumn fall winter season term semester morning evening".split()))
_DATED |= frozenset(stem(name) for line in groups("dates") for name in line)
_PERIODS = {"daily": "day", "weekly": "week", "monthly": "month", "yearly": "year"}
_GET, _ME = "get", "me"
_IS, _BEST, _GOOD, _STILL, _MORE, _MOST = "is", "best", "good", "still", "more", "most"
_GRADING = frozenset((_BEST, _STILL, _MORE, _MOST))
_ENDING_MORE = frozenset("most more less least first last".split())
"""Words that say how far where they end a text: which of them changed most."""
_PARTICLES = frozenset("up off out down away over".split())
"""Words that make another verb of one."""
_WITH_EITHER = frozenset("shut close clean wash rinse dry log sign".split())
"""Verbs of which several particles say the same: shut down, shut off."""
_SINGLE = frozenset("i you we he she they it this that".split())
_GETTING = frozenset(("get", "make", "use", _HAS))
"""Verbs of which one asks for something else than another before the same thing: get a call, make a call."""
_SHOULD, _BE = "should", "be"
_OUGHT, _TO_BE = frozenset("should advice must duty howto".split()), frozenset((_SHOULD, _BE, _IS))
_MOVING = frozenset(("come", "go"))
_FOR = "for"
_OF, _MEANING = "of", frozenset(("mean", "definition"))
_FROM, _BACK, _AT, _HOWTO = "from", "back", "at", "howto"
_KEEPING = frozenset("stop keep prevent".split())
_MAKING = frozenset("get make let keep paint dye".split())
_ENDING = frozenset("stop quit avoid keep prevent not without no never".split())
_DOING_IT = ASKERS | {"he", "she", "they", "it"}
_CLAUSES = frozenset("if when while after before because until unless since".split())
_PARTING = frozenset("if when while because unless".split())
"""Those behind which a sentence stands; what stands behind after and before may be a time."""
_IF_OR_WHEN = frozenset((_IF, _WHEN))
_POSSESSIVE = frozenset("my your our his her their".split())
_LY, _I, _IT = "ly", "i", "it"
_LIGHT = frozenset("make get use go come let want need like try start begin keep stop take learn".split())
"""Verbs behind which another one may say what is done: make text bold, bold text."""
_FEW = 2
"""Words, at least, that change their order."""


def uses(a: SmallWords, b: SmallWords) -> list[str]:
    """Words that are used otherwise in two texts of which most words are the same. Symmetric in effect."""
    return (
        _asked_about(a, b)
        or _apart(a, b, _INTENDING, _intended)
        or _apart(a, b, _TIMES, _lasting)
        or (a.content == b.content and _clauses(a, b))
        or _got(a, b)
        or _resulting(a, b)
        or (len(a.keys) != len(b.keys) and (_on_the_way(a, b) or _on_the_way(b, a)))
        or _one_sided(a, b)
        or _one_sided(b, a)
    )


def needs(a: SmallWords, b: SmallWords) -> list[str]:
    """What somebody needs in one text, and has or wants in the other: do I need a lawyer, do I want a lawyer."""
    if (_DUTY in a.counted) == (_DUTY in b.counted):
        return []
    need, other = (a, b) if _DUTY in a.counted else (b, a)
    if need.keys[0] != _DUTY or need.keys[1:] not in (other.keys[2:], other.keys[3:]):
        return []
    if _NEEDING.isdisjoint(other.keys[:1]) or _WANTING.isdisjoint(other.keys[1:2]):
        return []
    return [need.words[0].text, other.words[1].text]


def timed(a: SmallWords, b: SmallWords) -> list[str]:
    """When it was in one text, and when it will be in the other: rents last year, rents next year."""
    if _TIMED.isdisjoint(a.counted) or _TIMED.isdisjoint(b.counted):
        return []
    (past, future), (before, later) = _when(a), _when(b)
    if past and later and not (future or before):
        return [past, later]
    return [future, before] if future and before and not (past or later) else []


def _when(a: SmallWords) -> tuple[str, str]:
    """The words by which a text speaks of a time that is over, and of one to come; "" where none does."""
    said = {x.key: x.text for x, y in pairwise(a.words) if y.key in _DATED}
    said |= {word.key: word.text for word in a.words if word.key in (_YESTERDAY, _TOMORROW)}
    return said.get(_YESTERDAY, said.get(_LAST, "")), said.get(_TOMORROW, said.get(_NEXT, ""))


def prevented(a: SmallWords, b: SmallWords) -> list[str]:
    """What is kept from happening in one text, and made to happen in the other: stop it barking, get it to bark."""
    if (_FROM in a.counted) == (_FROM in b.counted):
        return []
    kept, made = (a, b) if _FROM in a.counted else (b, a)
    if _HOWTO not in kept.counted or _HOWTO not in made.counted:
        return []
    if _KEEPING.isdisjoint(kept.counted) or _MAKING.isdisjoint(made.counted) or not _ENDING.isdisjoint(made.counted):
        return []
    at = kept.keys.index(_FROM) + 1
    stopped = kept.keys[at : at + 1]
    return [_FROM, *stopped] if stopped and stopped[0] in made.counted and kept.words[at].content else []


def particles(a: SmallWords, b: SmallWords) -> list[str]:
    """A verb that each text has with another particle: set up, set off; give up, give out."""
    if _PARTICLES.isdisjoint(a.counted) and _PARTICLES.isdisjoint(b.counted):
        return []
    mine, theirs = _with_particles(a.words), _with_particles(b.words)
    return next(([mine[verb], theirs[verb]] for verb in mine if theirs.get(verb, mine[verb]) != mine[verb]), [])


def _with_particles(words: Sequence[Word]) -> dict[str, str]:
    """Verbs with the one particle each: before it, or together with it one word (give up, read as quit)."""
    found: dict[str, set[str]] = {}
    for at, word in enumerate(words):
        verb, _, particle = word.text.lower().partition(" ")
        if word.content and particle in _PARTICLES:
            found.setdefault(stem(verb), set()).add(particle)
        elif word.content and at + 1 < len(words) and words[at + 1].key in _PARTICLES:
            found.setdefault(word.key, set()).add(words[at + 1].key)
    return {verb: next(iter(said)) for verb, said in found.items() if len(said) == 1 and verb not in _WITH_EITHER}


def kept(from_it: SmallWords, to_stop: SmallWords) -> bool:
    """Whether one text keeps from doing what the other gets to stop: stop it from barking, get it to stop barking."""
    if _FROM not in from_it.counted or _FROM in to_stop.counted or _KEEPING.isdisjoint(to_stop.counted):
        return False
    if _MAKING.isdisjoint(to_stop.counted) or _HOWTO not in from_it.counted:
        return False
    return from_it.content == tuple([key for key in to_stop.content if key not in _MAKING])


def named_deed(verb: SmallWords, noun: SmallWords) -> bool:
    """Whether one text asks of a deed by its name: when did it sink, when was the sinking of it."""
    if _DID not in verb.counted or _WAS in verb.counted or _DID in noun.counted or _WAS not in noun.counted:
        return False
    return verb.content == noun.content and (_WAS, noun.keys[-3], _OF) == noun.keys[-4:-1]


def caused(a: SmallWords, b: SmallWords) -> list[str]:
    """Somebody who is got to do something to the asker in one text alone: get my sister to forgive me."""
    if (_ME in a.counted) == (_ME in b.counted) or not _ENDING.isdisjoint(a.counted.keys() | b.counted.keys()):
        return []
    keys = (a if _ME in a.counted else b).keys
    return [_GET, _ME] if _GET in keys and _is_caused(keys) else []


def _asked_about(a: SmallWords, b: SmallWords) -> list[str]:
    """A verb behind who does it in one text, and behind whom it is done to in the other: who likes it, who it likes."""
    if a.keys[:1] != b.keys[:1] or _UNKNOWN.isdisjoint(a.keys[:1]):
        return []
    mine, theirs = _without_did(a), _without_did(b)
    if len(mine) != len(theirs) or not BE.isdisjoint(mine):
        return []
    start = next((at for at, (x, y) in enumerate(zip(mine, theirs, strict=True)) if x != y), len(mine))
    m, t = mine[start:], theirs[start:]
    if len(m) < _FEW or _HAS in (m[0], t[0]):
        return []
    return [m[0], t[0]] if t in (m[1:] + m[:1], m[-1:] + m[:-1]) else []


def _without_did(a: SmallWords) -> tuple[str, ...]:
    return tuple([key for key in a.keys if key != _DID]) if _DID in a.counted else a.keys


def _apart(
    a: SmallWords, b: SmallWords, those: frozenset[str], use: Callable[[Sequence[Word]], dict[str, str]]
) -> list[str]:
    """How two texts use one of `those` words, where they do so otherwise."""
    if those.isdisjoint(a.counted) or those.isdisjoint(b.counted):
        return []
    mine, theirs = use(a.words), use(b.words)
    return next(([how, theirs[key]] for key, how in mine.items() if theirs.get(key, how) != how), [])


def _intended(words: Sequence[Word]) -> dict[str, str]:
    """Verbs with what follows: "to" and what is intended, or "-ing" for what is done before."""
    found = {x.key: y for x, y in pairwise(words) if x.key in _INTENDING}
    forms = {key: _TO if y.key == _TO else y.text.lower()[-3:] for key, y in found.items()}
    return {key: form for key, form in forms.items() if form in (_TO, "ing")}


def _clauses(a: SmallWords, b: SmallWords) -> list[str]:
    """What belongs to another clause, or to another verb, in two texts of the same words: leave early if I finish."""
    return _purpose(a, b) or _purpose(b, a) or _verb(a, b) or _clause(a, b) or _in_turn(a, b) or _owners(a, b)


def _purpose(a: SmallWords, b: SmallWords) -> list[str]:
    """What something is done for in one text, and when in the other: save to travel, save when I travel."""
    if _HOWTO not in a.counted or _HOWTO not in b.counted or a.counted.get(_TO, 0) <= b.counted.get(_TO, 0):
        return []
    clause = [key for key in _CLAUSES if b.counted.get(key, 0) > a.counted.get(key, 0)]
    return [_TO, *clause] if clause else []


def _verb(a: SmallWords, b: SmallWords) -> list[str]:
    """The verb behind "how do I", where both texts have both words and another stands there: call to complain."""
    if not ((_HOWTO,) == a.keys[:1] == b.keys[:1]) or 1 in (len(a.keys), len(b.keys)) or a.keys[1] == b.keys[1]:
        return []
    mine, theirs = a.words[1], b.words[1]
    if not (mine.content and theirs.content) or b.keys[2:3] == (mine.key,) or a.keys[2:3] == (theirs.key,):
        return []
    if any(word.key in _LIGHT or word.text.lower().endswith(_LY) for word in (mine, theirs)):
        return []
    return [mine.text, theirs.text]


def _clause(a: SmallWords, b: SmallWords) -> list[str]:
    """A word of meaning that stands before "if" in one text, and behind it in the other."""
    if _CLAUSES.isdisjoint(a.counted) or _CLAUSES.isdisjoint(b.counted):
        return []
    if all(text.keys[0] in _IF_OR_WHEN and text.keys[1] in PERSONS for text in (a, b)):
        m, t = (next((word for word in text.words if word.content), text.words[0]) for text in (a, b))
        return [] if m.key == t.key or not (m.content and t.content) else [m.text, t.text]
    subjects = [next((y for x, y in pairwise(text.keys) if x in _CLAUSES), "") for text in (a, b)]
    if sorted(subjects) == [_I, _IT]:
        return subjects
    places = [
        next((at for at, (x, y) in enumerate(pairwise(text.keys)) if x in _CLAUSES and y in PERSONS and at > 1), 0)
        for text in (a, b)
    ]
    if not all(places) or a.keys[places[0]] != b.keys[places[1]]:
        return []
    mine, theirs = (
        {word.key: word.text for word in text.words[:at] if word.content}
        for text, at in zip((a, b), places, strict=True)
    )
    moved = mine.keys() ^ theirs.keys()
    return [(mine | theirs)[key] for key in sorted(moved)]


def _in_turn(a: SmallWords, b: SmallWords) -> list[str]:
    """Words of the clauses that an "if" or "when" parts, where each stands in the other: it stops when it heats."""
    mine, theirs = _parts(a), _parts(b)
    if mine is None or theirs is None:
        return []
    if not mine.first:
        mine, theirs = theirs, mine
    if not mine.first:
        return []
    if not theirs.first:
        # The clause opens the text, and no comma is kept: when it heats why does it stop.
        return [mine.first[0], mine.behind[0]] if mine.behind and theirs.behind == mine.first + mine.behind else []
    behind = [key for key in mine.first if key not in mine.behind and key in theirs.behind and key not in theirs.first]
    before = [key for key in mine.behind if key not in mine.first and key in theirs.first and key not in theirs.behind]
    return [behind[0], before[0]] if behind and before else []


class _Parts(NamedTuple):
    """Words of meaning before the word that opens a clause, and behind it."""

    first: tuple[str, ...]
    behind: tuple[str, ...]


def _parts(a: SmallWords) -> _Parts | None:
    """The parts of a text around the one word of it that opens a clause; None where none does, or several do."""
    opening = [at for at, key in enumerate(a.keys) if key in _PARTING]
    if len(opening) != 1:
        return None
    at = opening[0]
    if a.keys[at] == _WHEN and a.words[0].content:
        # It asks when: the course is offered when.
        return None
    first, behind = ([word.key for word in part if word.content] for part in (a.words[:at], a.words[at + 1 :]))
    return _Parts(tuple(first), tuple(behind))


def _owners(a: SmallWords, b: SmallWords) -> list[str]:
    """Whose it is, where both texts say so of others: my brother's son is my nephew, my brother my son's nephew."""
    mine, theirs = a.owners, b.owners
    if mine and theirs and frozenset(mine).isdisjoint(theirs):
        return [*mine, *theirs]
    if not (mine or theirs):
        return []
    here, there = _owned(a.words), _owned(b.words)
    return next(
        (
            [owner.text, there[key].text]
            for key, owner in here.items()
            if key in there and there[key].key != owner.key and owner.content != there[key].content
        ),
        [],
    )


def _owned(words: Sequence[Word]) -> dict[str, Word]:
    """Things with whose each is, as the word before it says: my wife's insurance is my wife's, my insurance mine."""
    return {
        y.key: x
        for x, y in pairwise(words)
        if y.content and (x.key in _POSSESSIVE or (x.content and x.text.endswith(OWNS)))
    }


def which(a: SmallWords, b: SmallWords) -> list[str]:
    """Of how many it is asked, which a word tells alone: which planet has rings, which planets have rings."""
    if a.keys != b.keys or a.keys[:1] != (_WHICH,) or not a.words[1:] or not a.words[1].content:
        return []
    if not a.words[0].text.lower() == b.words[0].text.lower() == _WHICH:
        return []
    one, other = sorted((a.words[1].text.lower(), b.words[1].text.lower()), key=len)
    return [one, other] if other == one + "s" else []


def _lasting(words: Sequence[Word]) -> dict[str, str]:
    """Times with the preposition before each: for a week, in a week."""
    return {y.key: x.key for x, y in pairwise(words) if y.key in _TIMES and x.key in _IN_TIME}


def counted(a: SmallWords, b: SmallWords) -> list[str]:
    """Words that mean something else by their article: a number of errors, the number of errors."""
    if not (a.articled and b.articled):
        return []
    apart = [said for said, article in a.articled.items() if b.articled.get(said, article) != article]
    return list(apart[0]) if apart else []


def _got(a: SmallWords, b: SmallWords) -> list[str]:
    """What is done with a thing, where that is all that differs: use a bow, make a bow; not make him go."""
    if len(a.keys) != len(b.keys) or _GETTING.isdisjoint(a.counted) or _GETTING.isdisjoint(b.counted):
        return []
    apart = [at for at, (x, y) in enumerate(zip(a.keys, b.keys, strict=True)) if x != y]
    if len(apart) != 1 or not _GETTING.issuperset((a.keys[apart[0]], b.keys[apart[0]])):
        return []
    at = apart[0]
    return [a.words[at].text, b.words[at].text] if at + 1 < len(a.keys) and a.words[at + 1].content else []


def _resulting(a: SmallWords, b: SmallWords) -> list[str]:
    """A word that says what a thing is made to be, and in the other text what it is: keep shoes clean, clean shoes."""
    if len(a.keys) != len(b.keys) or _MAKING.isdisjoint(a.counted) or _MAKING.isdisjoint(b.counted):
        return []
    start = next((at for at, (x, y) in enumerate(zip(a.keys, b.keys, strict=True)) if x != y), len(a.keys))
    m, t = a.keys[start:], b.keys[start:]
    if len(m) < _FEW or not all(word.content for word in a.words[start:]):
        return []
    moved = a.words[-1] if t == m[-1:] + m[:-1] else b.words[-1] if m == t[-1:] + t[:-1] else None
    return [moved.text] if moved is not None and not moved.text.lower().endswith("ly") else []


def _one_sided(a: SmallWords, b: SmallWords) -> list[str]:
    """Words of the first text that ask for something else than the second."""
    if _USED in a.counted and _is_used_to(a, b):
        return [_USED]
    if _IF in a.counted and _WOULD in a.counted and _WHEN in b.counted and b.counted.keys().isdisjoint((_IF, _WOULD)):
        return [_IF, _WHEN]
    if _LOOK in a.counted and _LIKE in b.counted and _LOOK not in b.counted and (_LOOK, _LIKE) in pairwise(a.keys):
        return [_LOOK]
    if _BACK in a.counted and _AT not in b.counted and (_BACK, _AT) in pairwise(a.keys):
        return [_AT]
    if _NEED in a.counted and _NEED not in b.counted and _is_needing(a.words):
        return [_NEED]
    if _FOR in b.counted and (said := next((said for said in _PERIODS if said in a.counted), "")):
        return [_FOR] if (_FOR, _PERIODS[said]) in pairwise(b.keys) else []
    if not _ENDING_MORE.isdisjoint(a.keys[-1:]) and a.keys[:-1] == b.keys and _YOU not in a.counted:
        return [a.words[-1].text]
    if _SHOULD in a.counted and (ought := _as_it_should_be(a, b)):
        return ought
    return _done_to(a, b) or _graded(a, b) or _fitting(a, b)


def _is_needing(words: Sequence[Word]) -> bool:
    """Whether something needs what it has or does in another text: it needs charging, it is charging."""
    return any(x.key == _NEED and y.text.lower().endswith(_ING) for x, y in pairwise(words))


def _on_the_way(a: SmallWords, b: SmallWords) -> list[str]:
    """What comes or goes in the first text, and is there in the second: films that are coming out, that are out."""
    if _MOVING.isdisjoint(a.counted) or BE.isdisjoint(b.counted) or len(a.keys) != len(b.keys) + 1:
        return []
    at = next(at for at, key in enumerate(a.keys) if key in _MOVING)
    moving = a.words[at].text
    return [moving] if moving.lower().endswith(_ING) and a.keys[:at] + a.keys[at + 1 :] == b.keys else []


def _as_it_should_be(a: SmallWords, b: SmallWords) -> list[str]:
    """How something should be in the first text, and how it is in the second: sugar in cola."""
    if _IS not in b.counted or not _OUGHT.isdisjoint(b.counted) or a.asker or b.asker:
        return []
    return [_SHOULD] if [*_without(a, _TO_BE)] == [*_without(b, _TO_BE)] and _BE in a.counted else []


def _without(a: SmallWords, those: frozenset[str]) -> Iterator[str]:
    return (key for key in a.keys if key not in those)


def _done_to(a: SmallWords, b: SmallWords) -> list[str]:
    """A verb done to somebody in the first text that he does himself in the second: I was promoted, I promoted her."""
    if BE.isdisjoint(a.counted) or _DOING_IT.isdisjoint(a.counted):
        return []
    there = frozenset(pairwise(b.keys))
    for x, be, y in zip(a.words, a.words[1:], a.words[2:], strict=False):
        if be.key in BE and x.key in _DOING_IT and y.content and (x.key, y.key) in there:
            return [be.text, y.text] if ends_past(y.text.lower()) else []
    return []


def _is_caused(keys: Sequence[str]) -> bool:
    """Whether somebody is got to do something to the asker: get my sister to forgive me."""
    get = keys.index(_GET)
    return _TO in keys[get:] and _ME in keys[keys.index(_TO, get) :]


def _graded(a: SmallWords, b: SmallWords) -> list[str]:
    """A word that says how far something is so, where two texts ask whether it is: is it the best, is it still so."""
    if not ((_IS,) == a.keys[:1] == b.keys[:1]) or _GRADING.isdisjoint(a.counted):
        return []
    if _BEST in a.counted and _GOOD in b.counted and not (_GOOD in a.counted or _BEST in b.counted):
        return [_BEST, _GOOD]
    if _STILL in a.counted and _STILL not in b.counted and a.keys[1] in _SINGLE:
        return [_STILL]
    return next(([more] for more in (_MORE, _MOST) if _is_more(a, b, more)), [])


def _is_more(a: SmallWords, b: SmallWords, more: str) -> bool:
    if more not in a.counted or more in b.counted:
        return False
    at = a.keys.index(more)
    return a.keys[:at] + a.keys[at + 1 :] == b.keys and a.words[-1].content


def _is_used_to(a: SmallWords, b: SmallWords) -> bool:
    """Whether a text tells what was done once, and the other what is: who used to run it, who runs it."""
    at = a.keys.index(_USED)
    if a.keys[at + 1 : at + 2] != (_TO,) or not BE.isdisjoint(a.keys[at - 1 : at]):
        return False
    told_past = any(word.content and may_be_past(word.text.lower()) for word in b.words)
    return not told_past and b.counted.keys().isdisjoint((_USED, _WAS, _DID))


def _fitting(a: SmallWords, b: SmallWords) -> list[str]:
    """What one text asks of a thing of which the other asks what it is: how it should be, what its use is."""
    more = len(a.keys) - len(b.keys)
    if more not in (1, 2) or b.keys[:2] != _DEFINING[0] or a.keys[:2] != b.keys[:2]:
        return []
    what = b.words[2:]
    if not all(word.content for word in what) or not (len(what) == 1 or (len(what) == _FEW and what[0].text.isupper())):
        return []
    if a.keys[2 + more :] != b.keys[2:] or b.words[1].text.lower() not in _DEFINING[1]:
        return []
    asked = a.words[2]
    said = asked.key in _FITTING if more == 1 else a.keys[3] == _OF and asked.content and asked.key not in _MEANING
    return [asked.text] if said else []
