"""Normalises tokens to items: contractions expanded, phrases joined, each with its stem and its groups of synonyms."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from operator import attrgetter
from typing import NamedTuple

from refrain.streams.guards.code import is_code
from refrain.streams.guards.content_words import is_salient
from refrain.streams.guards.frame import is_counted
from refrain.streams.guards.item import REMEMBERED, WORDLY, Item, Said
from refrain.streams.guards.lexicon import Phrases, groups, pairs, renderings, units
from refrain.streams.guards.names import is_name
from refrain.streams.guards.negation import may_turn
from refrain.streams.guards.numbers import may_count
from refrain.streams.guards.roles import part_of
from refrain.streams.guards.small_words import word_of
from refrain.streams.guards.spelling import READ_AS
from refrain.streams.guards.stems import WORD_CHARS_MAX, stem
from refrain.streams.guards.tokens import CHARS_MAX, TOKENS_MAX, Token, tokens

_CONTRACTED = {"re": "are", "m": "am", "ll": "will", "ve": "have", "d": "would"}
_IS = frozenset("what who where when why how it that there here he she which let".split())
_ACRONYMS = {"US": "usa", "IT": "i.t.", "WHO": "w.h.o."}
"""Capitals that make a name of what is a little word otherwise."""
_INITIALS_CHARS = 4
"""Letters of a part of initials, at most, where another is one letter: B.Tech."""
_SHORT = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}
_DID = frozenset(("how", "why", "where", "when"))
"""Words behind which a 'd says did."""


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
_PHRASES = Phrases(
    (said.split(), tuple(meant.split())) for line in pairs("phrases") for said, meant in renderings(*line)
)
_NO_GROUPS: frozenset[int] = frozenset()
_ACROSS = re.compile(r"`|\d\s[apAP]\.?[mM]\b")
"""What may make one token of several pieces: code, and a time (7 pm)."""


class _Piece(NamedTuple):
    """Piece of a text: its items, and its expanded tokens, placed from its own beginning."""

    items: list[Item]
    is_opening: bool
    """Whether what follows opens a sentence."""
    size: int
    """Tokens as they stand, with one for what is beyond the bound."""
    tokens: list[Token]


_ITEMS = attrgetter("items")


def items(text: str) -> tuple[Said, int]:
    """Normalise a text to items; returns them and where the rest begins that is not parsed."""
    shouted = text.isupper()
    pieces = _pieces(text, shouted)
    if pieces is None:
        found, end = tokens(text)
        return Said.of(_joined(_expanded(found, shouted), text)), end
    said = Said.of(list(chain.from_iterable(map(_ITEMS, pieces))))
    if "-" in said.lows:
        # What it says depends on what stands beside it.
        said = Said.of(_joined(_placed(pieces, text), text))
    elif spans := _PHRASES.spans(said.lows):
        places = [
            (start + each.start, start + each.end) for start, piece in _starts(pieces, text) for each in piece.tokens
        ]
        said = Said.of(_with_phrases(said.items, places, spans, text))
    return said, len(text)


def _pieces(text: str, shouted: bool) -> list[_Piece] | None:
    """The pieces of a text between blanks; None where they say another thing than each for itself.

    Texts are made of the same few pieces, which are remembered: that is most of what it costs to read one.
    """
    if len(text) > CHARS_MAX or _ACROSS.search(text):
        return None
    found: list[_Piece] = []
    initial = True
    for piece in text.split(" "):
        found.append((_remembered_piece if len(piece) <= WORD_CHARS_MAX else _piece)(piece, initial, shouted))
        initial = found[-1].is_opening
    # No token is empty: a short text has not too many.
    return found if len(text) <= TOKENS_MAX or sum(piece.size for piece in found) <= TOKENS_MAX else None


def _piece(text: str, initial: bool, shouted: bool) -> _Piece:
    found, end = tokens(text, initial)
    expanded = _expanded(found, shouted)
    is_opening = found[-1].is_opening if found else initial
    return _Piece(_items(expanded), is_opening, len(found) + (end < len(text)), expanded)


def _placed(pieces: list[_Piece], text: str) -> list[Token]:
    """The tokens of the pieces of a text, each with its place in it."""
    return [_moved(token, start) for start, piece in _starts(pieces, text) for token in piece.tokens]


def _starts(pieces: list[_Piece], text: str) -> Iterator[tuple[int, _Piece]]:
    """The pieces of a text, each with the place at which it begins."""
    return zip(accumulate((len(piece) + 1 for piece in text.split(" ")), initial=0), pieces, strict=False)


_remembered_piece = lru_cache(maxsize=REMEMBERED)(_piece)


def _expanded(found: list[Token], shouted: bool) -> list[Token]:
    out: list[Token] = []
    done = False
    for at, token in enumerate(found):
        low, kind = token.low, token.kind
        if done:
            # The stop of initials.
            done = False
        elif kind in ("span", "fence"):
            out += [token, *_within(token)]
        elif kind == "dotted" and (initials := _initials(token, found[at + 1 :])):
            out.append(initials)
            done = True
        elif kind != "word":
            out.append(token)
        elif "'" in low:
            out += _undone(token)
        elif low in READ_AS:
            out += [token._replace(low=each) for each in READ_AS[low]]
        elif token.text in _ACRONYMS and not shouted:
            out.append(token._replace(low=_ACRONYMS[token.text]))
        else:
            out.append(token)
    return out


def _initials(token: Token, behind: Sequence[Token]) -> Token | None:
    """Initials with stops as the word that they are without: M.S., Ph.D., J.K.; None where a token is none."""
    parts = token.text.split(".")
    if not behind or behind[0].low != "." or behind[0].start != token.end:
        return None
    if not all(part[:1].isupper() and len(part) <= _INITIALS_CHARS for part in parts) or min(map(len, parts)) > 1:
        return None
    text = "".join(parts)
    return token._replace(text=text, low=_ACRONYMS.get(text, text.lower()), kind="word")


def _within(token: Token) -> list[Token]:
    """Tokens of a piece of code: it says the same without its marks."""
    inner = token.text.strip("`")
    shift = token.start + token.text.index(inner)
    return [_moved(piece, shift) for piece in tokens(inner)[0]]


def _undone(token: Token) -> list[Token]:
    base, _, rest = token.low.partition("'")
    if rest == "t" and base.endswith("n"):
        verb = _SHORT.get(base[:-1], base[:-1])
        # Set apart ("do n't"), it denies the word before it.
        return [*([token._replace(low=verb)] if verb else []), token._replace(low="not")]
    if rest == "s" and base in _IS:
        return [token._replace(low=base), token._replace(low="us" if base == "let" else "is")]
    if rest == "d" and base in _DID:
        return [token._replace(low=base), token._replace(low="did")]
    if rest in _CONTRACTED:
        return [token._replace(low=base), token._replace(low=_CONTRACTED[rest])]
    return [token._replace(low=base if rest in ("s", "") else base + rest)]


def _joined(found: list[Token], text: str) -> list[Item]:
    found = [token for at, token in enumerate(found) if token.low != "-" or _counts(found, at)]
    places = [(token.start, token.end) for token in found]
    return _with_phrases(_items(found), places, _PHRASES.spans([token.low for token in found]), text)


def _with_phrases(
    found: Sequence[Item],
    places: Sequence[tuple[int, int]],
    spans: Sequence[tuple[int, int, tuple[str, ...]]],
    text: str,
) -> list[Item]:
    """Items, each with its place in the text, with what phrases mean in place of those that say them."""
    out: list[Item] = []
    done = 0
    for start, end, meant in spans:
        out += found[done:start]
        piece, initial, done = text[places[start][0] : places[end - 1][1]], found[start].initial, end
        out += [_item_of(low, piece, "number" if low.isdigit() else "word", initial) for low in meant]
    return [*out, *found[done:]]


def _items(found: list[Token]) -> list[Item]:
    return [_item_of(low, piece, kind, initial) for piece, low, kind, _, _, initial in found]


def _moved(token: Token, by: int) -> Token:
    return token._replace(start=token.start + by, end=token.end + by)


def _counts(found: list[Token], at: int) -> bool:
    """Whether a - stands beside a number; else it is a hyphen (3-day) or a dash."""
    if 0 < at < len(found) - 1 and found[at - 1].kind == "number" and found[at + 1].kind == "word":
        return found[at - 1].end < found[at].start or found[at].end < found[at + 1].start
    return any(0 <= beside < len(found) and found[beside].kind == "number" for beside in (at - 1, at + 1))


def opening(item: Item) -> Item:
    """An item as it is where it opens a sentence."""
    return item if item.initial else _item_of(item.low, item.text, item.kind, True)


def read_as(item: Item, low: str) -> Item:
    """An item that is read as another word."""
    return _item_of(low, item.text, item.kind, item.initial)


def _item_of(low: str, text: str, kind: str, initial: bool) -> Item:
    # What is long comes once, and would take the room of many words.
    return (_remembered if len(text) <= WORD_CHARS_MAX else _item)(low, text, kind, initial)


def _item(low: str, text: str, kind: str, initial: bool) -> Item:
    root, lines = low, _NO_GROUPS
    if kind in WORDLY:
        root = stem(low.removesuffix("()"))
        # To be is grammar: no word says the same for it.
        lines = _GROUPS.get(root, _NO_GROUPS) if root != "be" else _NO_GROUPS
    bare = Item(low, root, lines, text, kind, initial)
    known = (
        is_salient(bare),
        is_name(bare),
        is_code(bare),
        may_turn(bare),
        may_count(bare),
        word_of(bare),
        is_counted(bare),
        part_of(bare),
    )
    return Item(low, root, lines, text, kind, initial, *known)


_remembered = lru_cache(maxsize=REMEMBERED)(_item)
