"""What asks for something else where it is all that differs: can and does, is and was, a word in a preposition's place.

Where more is worded otherwise such a word goes with the wording, and says the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from refrain.streams.guards.item import Word
from refrain.streams.guards.question import EFFECTS
from refrain.streams.guards.small_words import SmallWords
from refrain.streams.guards.stems import stem

_PLACING = frozenset(
    "from to into onto toward before until after since over above under below without with by for in inside within on"
    " at of about through across along between among off up down around near behind during beyond".split()
)
"""Prepositions; another word in the place of one is as a rule another preposition: past, alongside, aboard."""
_MODALS = frozenset("can could should must may might duty".split())
_OF_ANYBODY = frozenset("i you we one someone anyone peopl howto be is".split())
"""Words of a text in which a modal says no more than that it is asked for: how can I, how do I."""
_FOR_OR_IN = frozenset(("for", "in"))
_APART = (
    frozenset(("to", "for")),
    frozenset(("on", "with")),
    frozenset(("at", "of")),
    _FOR_OR_IN,
)
_DOING = frozenset("howto possible should allowed duty advice".split())
"""Prepositions of which one says something else than the other before the same word: write to, for a friend."""
_OF_THINGS = frozenset(
    "answer solution key ticket guide introduction direction cure treatment response access subscription alternative"
    " replacement traffic system limit right contribution benefit damage change update".split()
)
"""What a thing is to another, or for it: the answer to, or for, a riddle."""
_BASIC = frozenset(
    map(
        stem,
        "make take give get put set do bring turn look call pick break hold keep carry run go come cut pass pull"
        " throw work stand file ask sit act stick check dress believe trust invest engage deal".split(),
    )
)
"""Verbs that mean something else with a particle than without it: make up, carry on, file for."""
_PARTICLES = frozenset("up on in for through over down off out away".split())
_ENDING = frozenset("up over down off out away".split())
"""Those that end a text for the sake of its verb alone: stand up."""
_DEFINING = ("which", "is")
_BEHIND = 3
"""Place behind the first thing that a text asks about which begins with "what is"."""
_IF, _BECOMING = "if", {"is", "get"}
"""What somebody is, and what he only will be: if I am married, if I get married."""
_FROM, _KEEPING = "from", frozenset(("stop", "keep", "prevent"))
_OF, _FOR = "of", "for"
_VERB = 1
"""Place of the verb behind an opening: how do I charge."""
_WITH_OR_WITHOUT = frozenset(map(stem, "pay apply prepare plan wait search register analyse shop".split()))
"""Verbs of which the object may stand behind a "for", and be the same."""
_SEEN, _FROM_OR_OF = frozenset(map(stem, "view photo picture sight vantage letter".split())), frozenset(("from", "of"))
"""What is something else from a thing than of it: the view from the tower."""
_BEING = {"being"}
_BETWEEN = frozenset(("of", "in"))
_CAN, _NOT = {"can"}, "not"
_TIMES = {"is", "was"}
_OWN = frozenset(("my", "our"))
_OF_ONES_OWN = (("which",), ("which", "is"), ("where",), ("where", "is"), ("when",), ("when", "is"), ("who", "is"))
_HOW, _BE = "how", "is"
_FEW = 2
"""Words of meaning, at most, in a short question: when does my passport expire, is the bridge being built."""
_EXPERIENCE = frozenset("you your ever most best worst first".split())
"""Words of what is the same whenever it is told: what is, or was, your worst mistake."""


def alone(a: SmallWords, b: SmallWords, changed: Iterable[Word]) -> list[str]:
    """The words of the only place at which two texts differ, where they ask for something else."""
    if a.content != b.content:
        return _governing(a, b)
    said = {word.key for word in changed}
    if said == _CAN and _NOT in a.counted:
        # What somebody does not do, he may be able to.
        return sorted(said)
    if len(said) == 1 and said <= _MODALS and EFFECTS.isdisjoint(a.counted):
        return [*said] if _OF_ANYBODY.isdisjoint(a.counted) and _OF_ANYBODY.isdisjoint(b.counted) else []
    if said == _FROM_OR_OF and not _SEEN.isdisjoint(a.counted):
        return sorted(said) if len(a.keys) == len(b.keys) and not _SEEN.isdisjoint(_before(a, b)) else []
    if said == _BEING:
        # It is built, or somebody builds it now; of what is said at length it says no more.
        return sorted(said) if a.keys[0] == b.keys[0] == _BE and len(a.content) <= _FEW else []
    if said in _APART and len(a.keys) == len(b.keys):
        return sorted(said) if _is_before_the_same(a, b) else []
    if len(said) == 1 and abs(len(a.keys) - len(b.keys)) == 1:
        if said <= _OWN:
            return _owned(a if len(a.keys) > len(b.keys) else b, *said)
        return _particle(*((a, b) if len(a.keys) > len(b.keys) else (b, a)), *said)
    return sorted(said) if said == _TIMES and _EXPERIENCE.isdisjoint(a.counted) else []


def _owned(long: SmallWords, said: str) -> list[str]:
    """Whose it is, where a short question asks what is so of a thing of one's own: what is my, and what is a, limit."""
    at = long.keys.index(said) if said in long.counted else 0
    opening = long.keys[:at]
    is_opening = opening in _OF_ONES_OWN or (len(opening) == 3 and opening[0] == _HOW and opening[2] == _BE)
    return [long.words[at].text] if is_opening and len(long.content) <= _FEW + (opening[:1] == (_HOW,)) else []


def _is_before_the_same(a: SmallWords, b: SmallWords) -> bool:
    """Whether two prepositions stand before the same word, as it is written, and behind no thing that has either."""
    at = next(at for at, (x, y) in enumerate(zip(a.keys, b.keys, strict=True)) if x != y)
    if at + 1 == len(a.keys) or a.keys[at - 1] in _OF_THINGS:
        return False
    here = frozenset((a.keys[at], b.keys[at]))
    if (_OF in here or here == _FOR_OR_IN) and not _is_doing(a):
        return False
    return a.words[at + 1].text.lower() == b.words[at + 1].text.lower()


def _before(a: SmallWords, b: SmallWords) -> tuple[str, ...]:
    """The word before the first one that differs, none where that opens a text."""
    at = next(at for at, (x, y) in enumerate(zip(a.keys, b.keys, strict=True)) if x != y)
    return a.keys[max(0, at - 1) : at]


def _is_doing(a: SmallWords) -> bool:
    """Whether it is asked how, or whether, somebody does something, rather than of what sort a thing is."""
    return not _DOING.isdisjoint(a.counted)


def _particle(long: SmallWords, short: SmallWords, said: str) -> list[str]:
    """A word more between two that follow each other in the other text, where it makes them something else."""
    at = long.keys.index(said) if said in long.counted else 0
    if (*long.keys[:at], *long.keys[at + 1 :]) != short.keys or not at:
        return []
    if at + 1 == len(long.keys):
        return [said] if said in _ENDING and long.words[at - 1].content and _is_doing(long) else []
    if said in _PARTICLES and long.keys[at - 1] in _BASIC:
        return [] if long.words[0].content else [said]
    if said == _FOR and at == _VERB + 1 and _is_doing(long) and long.words[_VERB].content:
        return [] if long.keys[_VERB] in _WITH_OR_WITHOUT else [said]
    if said == _FROM and long.words[at - 1].content and long.words[at + 1].text.isalpha() and at > 1:
        return [said] if _KEEPING.isdisjoint(long.counted) else []
    # A fish tank is no fish in a tank, and the moral of a story no moral story.
    between = at == _BEHIND and long.keys[:2] == _DEFINING and long.words[at - 1].content and long.words[at + 1].content
    return [said] if said in _BETWEEN and between and long.words[at + 1].text.islower() else []


def _governing(a: SmallWords, b: SmallWords) -> list[str]:
    """A word of meaning in the place of a preposition, all the rest being the same: go past Leeds, go to Leeds."""
    if len(a.keys) != len(b.keys):
        return []
    apart = [(m, t) for m, t in zip(a.words, b.words, strict=True) if m.key != t.key]
    if len(apart) != 1 or apart[0][0].content == apart[0][1].content:
        return []
    if _IF in a.counted and {word.key for word in apart[0]} == _BECOMING:
        return [word.text for word in apart[0]]
    return [word.text for word in apart[0]] if any(word.key in _PLACING for word in apart[0]) else []
