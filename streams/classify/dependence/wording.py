"""Wording: a text as the rules read it, in small letters, one blank behind each word and `.` or `?` behind a sentence.

What is quoted, code, or spelt like code is not the asker's own wording, and becomes one mark that no rule names. So
does a word of the rules that a capital letter makes part of a name, as in "the Today show".

In Chinese each character is a word, since nothing parts them, and is read as it is written in simplified Chinese.

Texts are made of the same few pieces: what each says by itself is remembered, and put together.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from refrain.streams.guards import lexicon

FOLDER = Path(__file__).parent / "words"
CHARS_MAX = 2_000
"""Characters that are read of the beginning and of the end of a text; a longer one is material between them."""
MARK = "\u00b7"
NAMED = frozenset("today tonight tomorrow yesterday now current latest next last this news my our me time".split())
"""Words that are part of a name where a capital letter stands within a sentence."""
TITLE_SHARE = 0.6
"""From this share of capital letters on, a text is written like a title and they tell nothing."""

PIECE_CHARS_MAX = 40
"""Characters of a piece that is remembered: a longer one comes once, and would take the room of many."""
REMEMBERED = 16_384
"""Pieces that are remembered."""

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""The characters of Chinese, as a range of a regular expression."""

_QUOTES = re.compile("[`\"'\u2018\u201c\u201e\u00ab\u300a\u300c]")
"""What `_QUOTED` may begin with."""
_QUOTED = re.compile(
    r"```.*?(?:```|$)|`[^`]*+`|\"[^\"]*+\"|\u201c[^\u201d]*+\u201d|\u201e[^\u201c\u201d]*+[\u201c\u201d]"
    r"|\u00ab[^\u00bb]*+\u00bb|\u300a[^\u300b]*+\u300b|\u300c[^\u300d]*+\u300d"
    r"|(?<!\w)['\u2018](?=\w)[^'\u2019]*+(?:['\u2019](?=\w)[^'\u2019]*+)*+['\u2019](?!\w)",
    re.DOTALL,
)
_CHUNK = re.compile(r"\n\s*\n|\S+")
_MARKS = frozenset(".?:")
_UNPARTED = re.compile(f"[{HAN}]|[\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f](?=[^\\s])")
"""What a blank belongs behind."""
_BETWEEN = re.compile(f"(?<=[{HAN}]) (?=[{HAN}])")
_PARTED = re.compile(f"(?<=[^\\s{HAN}])(?=[{HAN}])")
_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]+$|[;:\uff1a\uff1b]$")
_EDGES = (
    " \t\r\n,;:.!?\u2026()[]\"\u201c\u201d\u00bf\u00a1'\u2018\u2019*"
    "\u3001\u3002\uff0c\uff01\uff1a\uff1b\uff1f\uff08\uff09"
)
_WORD = re.compile(
    r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*['\u2019]?|[$\u20ac\u00a3\u00a5]?\d[\d.,]*[%$\u20ac\u00a3\u00a5]?"
)
_SUFFIXES = {"s": "'s", "re": "are", "m": "am", "ll": "will", "ve": "have", "d": "would"}
_IS = frozenset("what who where when why how which it that there here he she everything".split())
_UNMARKED = {
    "whats": "what is", "wheres": "where is", "whos": "who is", "hows": "how is", "whens": "when is", "im": "i am",
    "ive": "i have", "dont": "do not", "doesnt": "does not", "didnt": "did not", "havent": "have not",
    "hasnt": "has not", "isnt": "is not", "todays": "today 's", "tomorrows": "tomorrow 's", "gimme": "give me",
    "lemme": "let me", "cant": "can not", "wanna": "want to", "gonna": "going to", "u": "you",
}  # fmt: skip


_SIMPLIFIED = {
    ord(left): right
    for line in lexicon.lines("traditional", FOLDER)
    for left, right in (pair.split(":") for pair in line.split())
}


class _Piece(NamedTuple):
    """A piece of a text between blanks."""

    words: tuple[str, ...]
    in_name: tuple[str, ...]
    """The same where a capital letter makes it part of a name."""
    end: str
    """The mark that ends a sentence behind it, "" when none does."""
    is_bare: bool
    """Whether it is more than signs."""
    is_nameable: bool
    """Whether it says another thing in a name."""
    is_word: bool
    """Whether it begins with a letter."""
    is_capital: bool


_IS_NAMEABLE = attrgetter("is_nameable")


def words_of(text: str) -> list[str]:
    """The words of a text in its wording, with the marks behind sentences."""
    pieces = _pieces(text)
    names_count = any(map(_IS_NAMEABLE, pieces)) and not _is_titled(pieces)
    words: list[str] = []
    begins = True
    for said, in_name, end, is_bare, is_nameable, _, _ in pieces:
        if is_bare:
            words += in_name if is_nameable and names_count and not begins else said
            begins = False
        if end and words and words[-1] not in _MARKS:
            words.append(end)
            begins = True
    if words and words[-1] not in _MARKS:
        words.append(".")
    return words


def wording(words: Sequence[str]) -> str:
    """The wording of these words, such as `what is my balance ? `."""
    return f"{' '.join(words)} " if words else ""


def parted(text: str) -> str:
    """The text with blanks around each Chinese character."""
    return _PARTED.sub(" ", _UNPARTED.sub(r"\g<0> ", text))


def joined(words: str) -> str:
    """The words as they are written: without blanks between Chinese characters."""
    return words if words.isascii() else _BETWEEN.sub("", words)


def _pieces(text: str) -> list[_Piece]:
    if len(text) > 2 * CHARS_MAX:
        text = f"{text[:CHARS_MAX]}\n\n{text[-CHARS_MAX:]}"
    text = unicodedata.normalize("NFC", text)
    if _QUOTES.search(text):
        text = _QUOTED.sub(f" {MARK} ", text)
    if not text.isascii():
        text = parted(text.translate(_SIMPLIFIED))
    # Without an empty line, blanks are all that parts the pieces.
    chunks = text.split() if text.count("\n") < 2 else _CHUNK.findall(text)
    return [_remembered(chunk) if len(chunk) <= PIECE_CHARS_MAX else _piece(chunk) for chunk in chunks]


def _piece(chunk: str) -> _Piece:
    bare = chunk.strip(_EDGES)
    words = tuple(_words(bare, is_name=False)) if bare else ()
    in_name = tuple(_words(bare, is_name=True)) if bare[:1].isupper() else words
    is_word = bare[:1].isalpha()
    return _Piece(words, in_name, _end_of(chunk), bare != "", in_name != words, is_word, is_word and bare[0].isupper())


_remembered = lru_cache(maxsize=REMEMBERED)(_piece)


def _end_of(chunk: str) -> str:
    """The mark that ends a sentence behind this piece of it, "" when none does."""
    if chunk.isspace():
        return "."
    found = _END.search(chunk.rstrip("\"'\u201d\u2019)*"))
    if found is None:
        return ""
    mark = found.group()
    return "?" if "?" in mark or "\uff1f" in mark else ":" if mark in ":\uff1a" else "."


def _is_titled(pieces: Sequence[_Piece]) -> bool:
    later = pieces[1:]
    words = sum(piece.is_word for piece in later)
    return words > 1 and sum(piece.is_capital for piece in later) > TITLE_SHARE * words


def _words(bare: str, *, is_name: bool) -> list[str]:
    if "/" in bare or (bare.count("-") and not _WORD.fullmatch(bare)):
        parts = [part for part in re.split(r"[/-]", bare) if part]
        if all(_WORD.fullmatch(part) for part in parts):
            return [word for part in parts for word in _words(part, is_name=is_name)]
    if not _WORD.fullmatch(bare):
        return [MARK]
    low = bare.casefold().replace("\u2019", "'").replace("-", " ").replace(".", "").rstrip("'")
    if is_name and low.partition("'")[0] in NAMED and not bare.isupper():
        return [MARK]
    return _undone(low).split()


def _undone(low: str) -> str:
    """A contraction in full."""
    if low in _UNMARKED:
        return _UNMARKED[low]
    base, mark, rest = low.rpartition("'")
    if not mark:
        return low
    if rest == "t" and base.endswith("n"):
        return f"{ {'ca': 'can', 'wo': 'will', 'sha': 'shall'}.get(base[:-1], base[:-1]) } not".strip()
    if rest == "s" and base in _IS:
        return f"{base} is"
    return f"{base} {_SUFFIXES[rest]}" if rest in _SUFFIXES else low.replace("'", "")
