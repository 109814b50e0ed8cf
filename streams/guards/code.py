"""The guard `code`: spans, quoted text, flags, identifiers and operators must be the same, case included."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from refrain.streams.guards.item import GROUPS, TEXT, WORDLY, Item, Said

_QUOTED = re.compile(r"\"([^\"\n]{1,400}+)\"|“([^”\n]{1,400}+)”|(?<!\w)'([^'\n]{1,400}+)'(?!\w)")
_BLANKS = re.compile(r"\s+")
_CAMEL = re.compile(r"[a-z0-9][A-Z]")
_PHRASE = re.compile(r"[^\W\d_]+(?:[ ,'\u2019-]+[^\W\d_]+)+[.!?]?")
_PRODUCT = re.compile(r"^(?:[A-Z]|[a-z][A-Z])")
_OPERATORS = frozenset(
    "=== !== == != <= >= <=> < > => -> <- += -= *= /= %= ** // ++ && || ?. := << >> :: = * ^ | + - / %".split()
)


_OF = "of"
_LENGTHS = frozenset("km m mi mile miles kilometer kilometers kilometre kilometres meter meters metre metres".split())
_HOURS = frozenset("h hr hour s sec second min minute".split())


class Code(NamedTuple):
    """Code in a text: spans, identifiers, flags, operators; and the text in which the other's is looked for."""

    literal: tuple[str, ...]
    """Code spans and quoted text, blanks folded."""
    names: tuple[str, ...]
    flags: Counter[str]
    operators: Counter[str]
    text: str
    said: Said


_SPANS = frozenset(("fence", "span"))
_IS_CODE = attrgetter("is_code")
_NONE: Counter[str] = Counter()
"""Of most texts, which have no code."""


def read_code(said: Said, text: str) -> Code:
    """Extract the code of a text."""
    items, kinds = said.items, said.kinds
    spans = [] if _SPANS.isdisjoint(kinds) else [_bare(item.text) for item in items if item.kind in _SPANS]
    quoted = (
        [next(filter(None, match.groups())) for match in _QUOTED.finditer(text)]
        if '"' in text or "'" in text or "”" in text
        else []
    )
    flags = [item.text for item in items if item.kind == "flag"] if "flag" in kinds else ()
    return Code(
        tuple([_BLANKS.sub(" ", piece) for piece in spans + quoted]),
        tuple(dict.fromkeys(map(TEXT, filter(_IS_CODE, items)))),
        Counter(flags) if flags else _NONE,
        _operators(items) if "operator" in kinds else _NONE,
        text,
        said,
    )


def _bare(span: str) -> str:
    return span.strip("`").strip()


def differences(a: Code, b: Code) -> tuple[str, ...]:
    """Differences: pieces of code that stand in one text only."""
    said = _missing(a, b) + _missing(b, a)
    if a.flags or b.flags:
        said += [*(a.flags - b.flags), *(b.flags - a.flags)]
    said += _unnamed(a, b) + _unnamed(b, a)
    if said or not (a.operators or b.operators):
        return tuple(said)
    return (*(a.operators - b.operators), *(b.operators - a.operators))


def _missing(a: Code, b: Code) -> list[str]:
    """Code spans and quoted text that the other text does not hold."""
    if not a.literal:
        return []
    text = _BLANKS.sub(" ", b.text)
    return [piece for piece in a.literal if not (_within(piece, text) or _is_plain(piece, b))]


def _is_plain(piece: str, other: Code) -> bool:
    """Whether a quoted word is one of plain words of the other text, which quotes nothing: what does "Inertia" mean."""
    return not other.literal and piece.isalpha() and piece.lower() in other.said.lows


def _within(piece: str, text: str) -> bool:
    if piece in text:
        return True
    # Of a phrase the case says nothing; of a single word or of code it may.
    return _PHRASE.fullmatch(piece) is not None and piece.lower() in text.lower()


def _unnamed(a: Code, b: Code) -> list[str]:
    """Identifiers that the other text does not name."""
    if not a.names:
        return []
    words, lows = frozenset(map(TEXT, b.said.items)), frozenset(b.said.lows)
    apart = [name for name in a.names if not _is_among(name, words) and not _is_product(name, lows)]
    if not any(map(_PRODUCT.match, apart)):
        return apart
    groups = frozenset(chain.from_iterable(map(GROUPS, b.said.items)))
    known = {item.text for item in a.said.items if item.is_code and not item.groups.isdisjoint(groups)}
    return [name for name in apart if not (_PRODUCT.match(name) and name in known)]


def _is_among(name: str, words: frozenset[str]) -> bool:
    return name in words or name.removesuffix("()") in words or f"{name}()" in words


def _is_product(name: str, lows: frozenset[str]) -> bool:
    """Whether it names a product, which may be written without its capitals; an identifier may not."""
    return bool(_PRODUCT.match(name)) and name.isalpha() and name.lower() in lows


def is_code(item: Item) -> bool:
    """Whether a word is an identifier: by its marks, or by capitals within it."""
    text = item.text
    if item.kind not in WORDLY:
        return False
    if text.isalpha() and (text.islower() or text.istitle()):
        return False
    return (
        "_" in text
        or text.endswith("()")
        or item.kind == "dotted"
        or (_CAMEL.search(text) is not None and not text.isupper())
    )


def _operators(items: Sequence[Item]) -> Counter[str]:
    """The operators of a text, but for those that stand between plain words: and/or, rock + roll."""
    found = [
        item.text
        for at, item in enumerate(items)
        if item.kind == "operator" and item.text in _OPERATORS and not (len(item.text) == 1 and _prose(items, at))
    ]
    return Counter(found) if found else _NONE


def _divides(items: Sequence[Item], at: int) -> bool:
    """Whether a / is part of a quantity, which other guards compare: km/h, 1/3 of it."""
    if not 0 < at < len(items) - 1:
        return False
    before, behind = items[at - 1], items[at + 1]
    if before.kind == behind.kind == "number":
        return items[at + 2 : at + 3] != [] and items[at + 2].low == _OF
    return before.low in _LENGTHS and behind.low in _HOURS


def _prose(items: Sequence[Item], at: int) -> bool:
    if items[at].text == "/" and _divides(items, at):
        return True
    if items[at].text == "%" and (at + 1 == len(items) or items[at + 1].kind != "number"):
        return True
    beside = [items[near] for near in (at - 1, at + 1) if 0 <= near < len(items)]
    return len(beside) < 2 or all(item.kind == "word" and len(item.text) > 1 for item in beside)
