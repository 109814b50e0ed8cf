"""Normalises tokens to items: contractions expanded, phrases joined, each with its stem and its groups of synonyms."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import NamedTuple

from refrain.streams.guards.lexicon import Phrases, groups, pairs, units
from refrain.streams.guards.stems import stem
from refrain.streams.guards.tokens import Token, tokens

WORDLY = frozenset(("word", "sharp", "dotted"))
"""Kinds of tokens that are words or names."""

_CONTRACTED = {"re": "are", "m": "am", "ll": "will", "ve": "have", "d": "would"}
_IS = frozenset("what who where when why how it that there here he she which let".split())
_UNMARKED = {
    "whats": ("what", "is"), "hows": ("how", "is"), "wheres": ("where", "is"), "whos": ("who", "is"),
    "dont": ("do", "not"), "doesnt": ("does", "not"), "didnt": ("did", "not"), "isnt": ("is", "not"),
    "arent": ("are", "not"), "wasnt": ("was", "not"), "werent": ("were", "not"), "cant": ("can", "not"),
    "wont": ("will", "not"), "couldnt": ("could", "not"), "wouldnt": ("would", "not"),
    "shouldnt": ("should", "not"), "havent": ("have", "not"), "hasnt": ("has", "not"), "cannot": ("can", "not"),
    "im": ("i", "am"), "ive": ("i", "have"), "youre": ("you", "are"), "theres": ("there", "is"),
}  # fmt: skip
_ACRONYMS = {"US": "usa", "IT": "i.t.", "WHO": "w.h.o."}
"""Capitals that make a name of what is a little word otherwise."""
_SHORT = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}


class Item(NamedTuple):
    """A word, number or sign as the guards compare it. `text` is how it stands in the question."""

    low: str
    stem: str
    groups: frozenset[int]
    text: str
    kind: str
    initial: bool


def _grouped(*names: str) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    number = 0
    for name in names:
        for line in groups(name):
            number += 1
            for word in line:
                found[stem("".join(word.split()))].add(number)
    measures = list(dict.fromkeys(units().values()))
    for name, unit in units().items():
        # The names of a unit are synonyms, below the numbers of the lines above.
        found[stem(name)].add(-1 - measures.index(unit))
    return {word: frozenset(lines) for word, lines in found.items()}


_GROUPS = _grouped("synonyms", "aliases")
_PHRASES = Phrases((left.split(), tuple(right.split())) for left, right in pairs("phrases"))
_NO_GROUPS: frozenset[int] = frozenset()


def items(found: list[Token], text: str) -> list[Item]:
    """Normalise a text's tokens to items."""
    return _joined(_expanded(found, shouted=text.isupper()), text)


def _expanded(found: list[Token], shouted: bool) -> list[Token]:
    out: list[Token] = []
    for token in found:
        if token.kind in ("span", "fence"):
            out += [token, *_within(token)]
        elif token.kind != "word":
            out.append(token)
        elif "'" in token.low:
            out += _undone(token)
        elif token.low in _UNMARKED:
            out += [token._replace(low=low) for low in _UNMARKED[token.low]]
        elif token.text in _ACRONYMS and not shouted:
            out.append(token._replace(low=_ACRONYMS[token.text]))
        else:
            out.append(token)
    return out


def _within(token: Token) -> list[Token]:
    """Tokens of a piece of code: it says the same without its marks."""
    inner = token.text.strip("`")
    shift = token.start + token.text.index(inner)
    found, _ = tokens(inner)
    return [piece._replace(start=piece.start + shift, end=piece.end + shift) for piece in found]


def _undone(token: Token) -> list[Token]:
    base, _, rest = token.low.partition("'")
    if rest == "t" and base.endswith("n"):
        verb = _SHORT.get(base[:-1], base[:-1])
        # Set apart ("do n't"), it denies the word before it.
        return [*([token._replace(low=verb)] if verb else []), token._replace(low="not")]
    if rest == "s" and base in _IS:
        return [token._replace(low=base), token._replace(low="us" if base == "let" else "is")]
    if rest in _CONTRACTED:
        return [token._replace(low=base), token._replace(low=_CONTRACTED[rest])]
    return [token._replace(low=base if rest in ("s", "") else base + rest)]


def _joined(found: list[Token], text: str) -> list[Item]:
    if any(token.low == "-" for token in found):
        found = [token for at, token in enumerate(found) if token.low != "-" or _counts(found, at)]
    lows = [token.low for token in found]
    out: list[Item] = []
    at = 0
    while at < len(found):
        token = found[at]
        for end, meant in _PHRASES.at(lows, at):
            piece = text[token.start : found[end - 1].end]
            out += [_item(low, piece, "number" if low.isdigit() else "word", token.initial) for low in meant]
            at = end
            break
        else:
            out.append(_item(token.low, token.text, token.kind, token.initial))
            at += 1
    return out


def _counts(found: list[Token], at: int) -> bool:
    """Whether a - stands beside a number; else it is a hyphen (3-day) or a dash."""
    if 0 < at < len(found) - 1 and found[at - 1].kind == "number" and found[at + 1].kind == "word":
        return found[at - 1].end < found[at].start or found[at].end < found[at + 1].start
    return any(0 <= beside < len(found) and found[beside].kind == "number" for beside in (at - 1, at + 1))


def _item(low: str, text: str, kind: str, initial: bool) -> Item:
    root, lines = _known(low) if kind in WORDLY else (low, _NO_GROUPS)
    return Item(low, root, lines, text, kind, initial)


@lru_cache(maxsize=65_536)
def _known(low: str) -> tuple[str, frozenset[int]]:
    """The stem of a word and its lines of synonyms."""
    root = stem(low.removesuffix("()"))
    return root, _GROUPS.get(root, _NO_GROUPS)
