"""When somebody does it, in two texts of the same words: which laws apply, which applied; I am moving, I moved."""

from __future__ import annotations

from itertools import pairwise

from refrain.streams.guards.scope import IS
from refrain.streams.guards.small_words import PERSONS, SmallWords
from refrain.streams.guards.stems import UNCHANGED, ends_past, is_irregular, may_be_past, stem

_DID = "did"
_BEING, _GO, _GOT, _ING = "being", "go", "got", "ing"
_DONE_BY = frozenset(("has", "was"))
_ABOUT_TO = ("was", _GO, "to")
_TOLD_PAST = frozenset(("did", "was", "by"))
_TIMES = frozenset("was has had did will would been being".split())
"""Auxiliary verbs by which a form of a verb says another time."""


def tenses(a: SmallWords, b: SmallWords) -> list[str]:
    """Verbs that alone differ in their time: which laws apply, which laws applied."""
    if a.content != b.content or _DID in a.counted or _DID in b.counted:
        # Behind "did" a verb has no time of its own, however it is written.
        return []
    doing = not dict.__eq__(a.counted, b.counted)
    if doing and not _is_doing(a, b) and not _is_doing(b, a):
        return []
    if not doing and (unchanged := _unchanged(a, b)):
        return unchanged
    mine, theirs = _forms(a), _forms(b)
    apart = mine ^ theirs
    ing = {key for key, low in apart if low.endswith("ing")}
    past = {(key, low) for key, low in apart if ends_past(low) or (is_irregular(low) and (doing or key in ing))}
    # A word that is told as past in both is written otherwise: canceled, cancelled.
    both = {key for key, _ in mine - past} & {key for key, _ in theirs} | {key for key, _ in theirs - past} & {
        key for key, _ in mine
    }
    return sorted(low for key, low in past if key in both)


def aspects(a: SmallWords, b: SmallWords) -> list[str]:
    """A verb of what is going on in one text, and done in the other: I am losing it, I have lost it.

    Also what somebody only was about to do: I was going to cancel, I cancelled.
    """
    if IS in a.counted or IS in b.counted:
        mine, theirs = _going_on(a), _going_on(b)
        if bool(mine) != bool(theirs):
            done = _done(b if mine else a)
            said = mine or theirs
            return next(([said[key], low] for key, low in done.items() if key in said), [])
    if _GO in a.counted or _GO in b.counted:
        about = [text for text in (a, b) if _ABOUT_TO in zip(text.keys, text.keys[1:], text.keys[2:], strict=False)]
        return list(_ABOUT_TO[:2]) if len(about) == 1 else []
    return []


def _going_on(a: SmallWords) -> dict[str, str]:
    """Verbs that are going on by their form: I am losing, is being towed."""
    found: dict[str, str] = {}
    if IS not in a.counted:
        return found
    at = a.keys.index(IS)
    for before, word in pairwise(a.words[at:]):
        low = word.text.lower()
        if word.content and ((low.endswith(_ING) and word.key != low) or (before.key == _BEING and may_be_past(low))):
            found[word.key] = low
    return found


def _done(a: SmallWords) -> dict[str, str]:
    """Verbs of what is done, by their form and the word before them: I have lost, was towed, got stuck."""
    started = [at for at, word in enumerate(a.words) if word.key in _DONE_BY or word.text.lower() == _GOT]
    if not started or _BEING in a.counted:
        return {}
    forms = {word.key: word.text.lower() for word in a.words[started[0] + 1 :] if word.content}
    return {key: low for key, low in forms.items() if _is_told_done(low)}


def _is_told_done(low: str) -> bool:
    return may_be_past(low) and low not in UNCHANGED and low != _GOT and not low.endswith(_ING)


def _unchanged(a: SmallWords, b: SmallWords) -> list[str]:
    """A verb that is written alike in its past, where its ending tells that it is not: my tooth hurts, it hurt."""
    for before, x, y in zip(a.words, a.words[1:], b.words[1:], strict=False):
        one, other = sorted((x.text.lower(), y.text.lower()), key=len)
        if one in UNCHANGED and other == one + "s" and any(word.text == before.text for word in b.words):
            return [one, other]
    return []


def did(asked: SmallWords, told: SmallWords) -> bool:
    """Whether the "did" of one text stands in the form of a verb in the other: why did Rome fall, why Rome fell."""
    if _DID not in asked.counted or not _TOLD_PAST.isdisjoint(told.counted) or _who(asked) != _who(told):
        return False
    there = {word.key: word.text.lower() for word in told.words if word.content}
    return any(_is_past(there.get(word.key, ""), word.text.lower()) for word in asked.words if word.content)


def _who(a: SmallWords) -> list[str]:
    """Words of meaning and persons in their order: it tells who does it."""
    return [word.key for word in a.words if word.content or word.key in PERSONS]


def _is_past(low: str, base: str) -> bool:
    """Whether a verb is told as past in one of its forms alone."""
    return low != base and may_be_past(low) and not may_be_past(base)


def _is_doing(now: SmallWords, past: SmallWords) -> bool:
    """Whether somebody is doing in one text what he did in the other: I am moving, I moved."""
    if now.counted.get(IS, 0) != past.counted.get(IS, 0) + 1:
        return False
    if not _TIMES.isdisjoint(past.counted) or not any(word.text.endswith("ing") for word in now.words):
        return False
    return all(past.counted.get(key, 0) == count - (key == IS) for key, count in now.counted.items())


def _forms(a: SmallWords) -> set[tuple[str, str]]:
    """Words of meaning by key; not those that another one stands for, as "forbidden" for "not allowed"."""
    said = ((word.key, word.text.lower()) for word in a.words if word.content)
    return {(key, low) for key, low in said if stem(low) == key}
