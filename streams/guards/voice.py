"""Who does it, and to whom it is done, in two texts of the same words: who elected, who was elected; sue, get sued."""

from __future__ import annotations

from itertools import pairwise

from refrain.streams.guards.small_words import SmallWords
from refrain.streams.guards.stems import UNCHANGED, ends_past, may_be_past

BE = frozenset(("is", "was", "be", "been", "being", "get"))
ASKERS = frozenset(("i", "we"))
_DOERS = ASKERS | {"you", "they", "someone", "howto", "should", "possible", "allowed", "must", "duty"}
"""Words of an active sentence that say who does it: anybody, as in a passive one."""
_ERGATIVE = frozenset(
    "form develop spread evolv originat freez melt dissolv grow cook boil bake ferment hatch heal dry harden break"
    " burst crack erod decay shrink expand explod ignit rust burn open close".split()
)
"""Stems of verbs that say of a thing what is done to it: diamonds form, and are formed."""
_UNKNOWN = frozenset(("which", "who"))
"""Words of which it depends on the place whether something is done by them, or to them."""
_FEW = 4
"""Words that a text has at least in which such a place is looked at."""
_GET, _HOWTO, _HAS, _BY = "get", "howto", "has", "by"
HAVING = frozenset((_GET, _HAS))
_DOING = frozenset((_HOWTO, "possible", "should", "allowed", "duty", "must"))
_THING_AND_DEED = 2
_REACH = 3
"""Words behind "get" among which the verb stands that somebody has done: get my car fixed."""
_REACHED = frozenset("started married engaged divorced dressed involved rid used".split())
"""What somebody gets that he does himself: how do I get started, how do I start."""


def undergone(passive: SmallWords, active: SmallWords) -> list[str]:
    """A verb that somebody has done to him, and that he does himself in the other text: get sued, sue."""
    if _GET not in passive.counted or _GET in active.counted or _HOWTO not in active.counted:
        return []
    there = {word.key: word.text.lower() for word in active.words if word.content}
    at = passive.keys.index(_GET)
    for by, y in enumerate(passive.words[at + 1 : at + 1 + _REACH]):
        low = y.text.lower()
        # Who gets somebody to do it has an object between: get him hired.
        if low not in _REACHED and _is_done(low, there.get(y.key, "")) and (by == 0 or passive.words[-1] is y):
            return [passive.words[at].text, y.text]
    return []


def has_done(passive: SmallWords, active: SmallWords) -> list[str]:
    """What somebody has others do to a thing, and does himself in the other text: get my hair cut, cut my hair."""
    if HAVING.isdisjoint(passive.counted) or active.keys[:1] != passive.keys[:1] or _DOING.isdisjoint(active.keys[:1]):
        return []
    have = next((at for at, key in enumerate(passive.keys) if key in HAVING and key not in active.counted), -1)
    done = [word for word in passive.words[have + 1 :] if word.content]
    if have < 0 or len(done) < _THING_AND_DEED or not _is_participle(done[1].text.lower()):
        return []
    order = [word.key for word in active.words if word.content and word.key not in HAVING]
    return [passive.words[have].text, done[1].text] if (done[1].key, done[0].key) in pairwise(order) else []


def _is_participle(low: str) -> bool:
    return may_be_past(low) or low in UNCHANGED


def undergoes(passive: SmallWords, active: SmallWords) -> list[str] | None:
    """A verb whose doer one text asks for, and the other to whom it is done: who elected, who was elected."""
    if len(passive.keys) < _FEW or passive.keys[0] not in _UNKNOWN or passive.keys[1] not in BE:
        return None
    verb = passive.words[2]
    if not verb.content or (passive.keys[0], *passive.keys[2:]) != active.keys:
        return None
    low = verb.text.lower()
    return [passive.words[1].text, verb.text] if may_be_past(low) else None


def voiced(a: SmallWords, b: SmallWords) -> list[str] | None:
    """A verb that is passive in one of the texts only, unless anybody does it in the other; None where none is.

    How are mice eaten asks something else than how mice eat, and the same as how you eat mice.
    """
    mine, theirs = BE & a.counted.keys(), BE & b.counted.keys()
    if bool(mine) == bool(theirs):
        return None
    passive, active = (a, b) if mine else (b, a)
    there = {word.key: word.text.lower() for word in active.words if word.content}
    done = [
        word.text for word in passive.words if word.content and _is_done(word.text.lower(), there.get(word.key, ""))
    ]
    if not done:
        return None
    if _is_by(passive, active):
        return []
    if of_one_time(a, b) and all(word.key in _ERGATIVE for word in passive.words if word.content and word.text in done):
        return []
    return [] if _DOERS & active.counted.keys() or "in" in passive.counted else done


def _is_by(passive: SmallWords, active: SmallWords) -> bool:
    """Whether who does it stands behind "by" in one text, and before the verb in the other: banned by Rome."""
    if _BY not in passive.counted or _BY in active.counted:
        return False
    at = passive.keys.index(_BY)
    verb, doer = passive.keys[at - 1], passive.keys[-1]
    if at + 2 < len(passive.keys) or not (verb in active.counted and doer in active.counted):
        return False
    return active.keys.index(doer) < active.keys.index(verb)


def of_one_time(a: SmallWords, b: SmallWords) -> bool:
    """Whether an active and a passive text speak of the same time: did they make it, was it made."""
    past = frozenset(("was", "did"))
    return past.isdisjoint(a.counted) == past.isdisjoint(b.counted)


def _is_done(low: str, there: str) -> bool:
    """Whether a verb is a participle, and another form of it stands there: no third person (goes)."""
    return low != there and there != "" and not low.endswith("s") and may_be_past(low) and not ends_past(there)


def governed(a: SmallWords, b: SmallWords) -> list[str]:
    """A preposition that ends a text, and that stands before the last word of the other: what depends on it."""
    if min(len(a.keys), len(b.keys)) < _FEW or a.keys[0] != b.keys[0] or a.keys[0] not in _UNKNOWN:
        return []
    ends = not a.words[-1].content and b.words[-1].content and a.keys[-1] == b.keys[-2]
    return [a.keys[-1]] if ends else []
