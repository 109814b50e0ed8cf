"""Differing words of two texts of a language without word lists: what is left of them when grammar is taken out.

Of each language a few little words are known that ask for nothing (articles, politeness, may I), openings that ask the
same, and endings of verbs. Every other word that one text alone has asks another question.
"""

from __future__ import annotations

from collections.abc import Sequence

from refrain.streams.guards.item import Word
from refrain.streams.guards.lexicon import Phrases, groups, pairs, split_list
from refrain.streams.guards.small_words import SmallWords
from refrain.streams.guards.tokens import folded

FEW = 8
"""Words of a text among which forms of verbs are looked for."""
ROOT_CHARS = 4
"""Letters of a verb without its ending, at least."""
_LITTLE = {name: frozenset(split_list(line)) for name, line in pairs("foreign_little")}
_ENDINGS = {
    name: [[ending.strip("-") for ending in split_list(part)] for part in line.split("|")]
    for name, line in pairs("foreign_endings")
}
"""Of each language the endings of verbs: of the listed form, of others, and those of which one stands for another."""

_ASKING = {word: number for number, line in enumerate(groups("foreign_asking")) for word in line}


def asked_apart(a: SmallWords, b: SmallWords) -> tuple[str, ...]:
    """The words that open both texts, where one asks for a person, and the other for a time, a place or a reason."""
    if not a.words or not b.words:
        return ()
    mine, theirs = a.words[0].text, b.words[0].text
    one, other = _ASKING.get(folded(mine)), _ASKING.get(folded(theirs))
    return () if one is None or other is None or one == other else (mine, theirs)


def _openings() -> dict[str, Phrases[tuple[str, ...]]]:
    found: dict[str, list[tuple[list[str], tuple[str, ...]]]] = {name: [] for name in _LITTLE}
    for left, right in pairs("foreign_openers"):
        name, *said = left.split()
        found[name].append((said, tuple(right.split())))
    return {name: Phrases(entries) for name, entries in found.items()}


_OPENINGS = _openings()
_IMPERATIVES = {name: [ending.strip("-") for ending in split_list(line)] for name, line in pairs("foreign_imperatives")}
_NONE: frozenset[str] = frozenset()


def unsaid(a: SmallWords, b: SmallWords, languages: frozenset[str]) -> tuple[str, ...]:
    """Words of both texts that the other says in no way; `languages` are those that both may be in."""
    known = sorted(languages & _LITTLE.keys())
    mine, theirs = _said(a.words, known), _said(b.words, known)
    m, t = [low for low in mine if low not in theirs], [low for low in theirs if low not in mine]
    for name in known if max(len(m), len(t)) <= FEW else ():
        m, t = _unpaired(m, t, name)
        if m and t and _ask_alike(next(iter(mine)), next(iter(theirs)), name):
            m, t = [low for low in m if low != next(iter(mine))], [low for low in t if low != next(iter(theirs))]
    return (*[mine[low] for low in m], *[theirs[low] for low in t])


def _said(words: Sequence[Word], known: Sequence[str]) -> dict[str, str]:
    """Folded words of a text as they are compared, each with how it is written."""
    lows = [
        (low, word.text) for word in words for low in folded(word.text).replace("'", "").replace("\u0153", "oe").split()
    ]
    for name in known:
        lows = _opened(lows, name)
    little = frozenset.intersection(*(_LITTLE[name] for name in known)) if known else _NONE
    return {low: text for low, text in lows if low not in little}


def _opened(lows: list[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    """Words with what openings come to in their place."""
    found: list[tuple[str, str]] = []
    done = 0
    for start, end, meant in _OPENINGS[name].spans([low for low, _ in lows]):
        found += lows[done:start]
        found += [(low, lows[start][1]) for low in meant]
        done = end
    return found + lows[done:]


def _unpaired(mine: list[str], theirs: list[str], name: str) -> tuple[list[str], list[str]]:
    """Words without those that are forms of one verb: installiere, installieren."""
    forms = [(m, t) for m in mine for t in theirs if _are_forms(m, t, name)]
    rest = [m for m in mine if all(m != x for x, _ in forms)]
    return _without_parted(rest, [t for t in theirs if all(t != y for _, y in forms)], name)


def _without_parted(mine: list[str], theirs: list[str], name: str) -> tuple[list[str], list[str]]:
    """Words without a verb whose prefix stands apart: setze zurück, zurücksetzen."""
    for one, other in ((mine, theirs), (theirs, mine)):
        for prefix in one:
            for verb in one:
                whole = next((low for low in other if low.startswith(prefix) and prefix != verb), None)
                if whole is not None and _are_forms(verb, whole.removeprefix(prefix), name):
                    rest, there = [w for w in one if w not in (prefix, verb)], [w for w in other if w != whole]
                    return (rest, there) if one is mine else (there, rest)
    return mine, theirs


def _are_forms(a: str, b: str, name: str) -> bool:
    """Whether both are forms of a verb: one that dictionaries list and any other, or two of anybody."""
    if a == b:
        return True
    listed, others, anybodys = _ENDINGS[name]
    return (
        _share_root(a, b, listed, others) or _share_root(b, a, listed, others) or _share_root(a, b, anybodys, anybodys)
    )


def _ask_alike(one: str, other: str, name: str) -> bool:
    """Whether the first words of two texts are one verb that asks for something: écris, écrivez."""
    endings = _IMPERATIVES.get(name, ())
    return one != other and (_share_root(one, other, endings, endings) or _share_root(other, one, endings, endings))


def _share_root(one: str, other: str, endings: Sequence[str], others: Sequence[str]) -> bool:
    for ending in endings:
        root = one.removesuffix(ending)
        if one.endswith(ending) and len(root) >= ROOT_CHARS and other.startswith(root) and other[len(root) :] in others:
            return True
    return False
