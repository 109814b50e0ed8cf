"""The guard `code`: spans, quoted text, flags, identifiers and operators must be the same, case included."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from refrain.streams.guards.items import Item

_QUOTED = re.compile(r"\"([^\"\n]{1,400})\"|“([^”\n]{1,400})”|(?<!\w)'([^'\n]{1,400})'(?!\w)")
_BLANKS = re.compile(r"\s+")
_CAMEL = re.compile(r"[a-z0-9][A-Z]")
_PHRASE = re.compile(r"[^\W\d_]+(?:[ ,'\u2019-]+[^\W\d_]+)+[.!?]?")
_PRODUCT = re.compile(r"^(?:[A-Z]|[a-z][A-Z])")
_OPERATORS = frozenset(
    "=== !== == != <= >= <=> < > => -> <- += -= *= /= %= ** // ++ && || ?. := << >> :: = * ^ | + - / %".split()
)


class Code(NamedTuple):
    """Code in a text: spans, identifiers, flags, operators; and the text in which the other's is looked for."""

    literal: tuple[str, ...]
    """Code spans and quoted text, blanks folded."""
    names: dict[str, None]
    flags: Counter[str]
    operators: Counter[str]
    text: str
    words: frozenset[str]
    lows: frozenset[str]


def read_code(items: Sequence[Item], text: str) -> Code:
    """Extract the code of a text."""
    spans = [item.text.strip("`").strip() for item in items if item.kind in ("fence", "span")]
    quoted = (
        [next(filter(None, match.groups())) for match in _QUOTED.finditer(text)]
        if '"' in text or "'" in text or "“" in text
        else []
    )
    names = dict.fromkeys(item.text for item in items if item.kind in ("word", "dotted", "sharp") and _is_code(item))
    return Code(
        tuple(_BLANKS.sub(" ", piece) for piece in spans + quoted),
        names,
        Counter(item.text for item in items if item.kind == "flag"),
        _operators(items),
        _BLANKS.sub(" ", text),
        frozenset(item.text for item in items),
        frozenset(item.low for item in items),
    )


def differences(a: Code, b: Code) -> tuple[str, ...]:
    """Differences: pieces of code that stand in one text only."""
    said = [piece for piece in a.literal if not _within(piece, b)] + [
        piece for piece in b.literal if not _within(piece, a)
    ]
    said += [*(a.flags - b.flags), *(b.flags - a.flags)]
    said += [name for name in a.names if not _named(name, b)] + [name for name in b.names if not _named(name, a)]
    return tuple(said) or (*(a.operators - b.operators), *(b.operators - a.operators))


def _within(piece: str, other: Code) -> bool:
    if piece in other.text:
        return True
    # Of a phrase the case says nothing; of a single word or of code it may.
    return _PHRASE.fullmatch(piece) is not None and piece.lower() in other.text.lower()


def _named(name: str, other: Code) -> bool:
    if name in other.words or name.removesuffix("()") in other.words or f"{name}()" in other.words:
        return True
    # A product's name may be written without its capitals; an identifier may not.
    return bool(_PRODUCT.match(name)) and name.isalpha() and name.lower() in other.lows


def _is_code(item: Item) -> bool:
    text = item.text
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
    return Counter(
        item.text
        for at, item in enumerate(items)
        if item.kind == "operator" and item.text in _OPERATORS and not (len(item.text) == 1 and _prose(items, at))
    )


def _prose(items: Sequence[Item], at: int) -> bool:
    if items[at].text == "%" and (at + 1 == len(items) or items[at + 1].kind != "number"):
        return True
    beside = [items[near] for near in (at - 1, at + 1) if 0 <= near < len(items)]
    return len(beside) < 2 or all(item.kind == "word" and len(item.text) > 1 for item in beside)
