"""Tokeniser: words, numbers, code, paths and operators, each with its place in the text.

The length that is parsed is bounded; the rest of a longer text is compared as it stands.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

CHARS_MAX = 4_000
"""Characters of a text that are looked at."""
TOKENS_MAX = 400
"""Tokens of a text that are looked at."""


class Token(NamedTuple):
    """A piece of the text. `low` is its folded form; `kind` is the name of the pattern that found it."""

    text: str
    low: str
    kind: str
    start: int
    end: int
    initial: bool
    """Whether it opens a sentence, where a capital letter says nothing."""


_PATTERN = re.compile(
    r"""
      (?P<plain>[A-Za-z]+(?=[ ?,!]|$))  # most words: tried first, and none of what follows
    | (?P<fence>```[^`]*(?:```|$))
    | (?P<span>`[^`\n]+`)
    | (?P<url>\b(?:https?|ftp|file|s3|git|ssh|jdbc|mailto)://[^\s<>"'`)\]]+|\bwww\.[^\s<>"'`)\]]+)
    | (?P<email>\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+)
    | (?P<path>(?:[A-Za-z]:\\|\.{1,2}/|~/|(?<![\w/])/)[\w.@+\-]+(?:[\\/][\w.@+\-*]+)*
              |\b[\w.-]+(?:/[\w.-]+)*/[\w-]+\.[A-Za-z]\w{0,4}\b
              |\b[\w-]+(?:/[\w.-]+){2,})
    | (?P<date>\b\d{4}-\d{1,2}-\d{1,2}\b)
    | (?P<time>\b\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]\.?m\b\.?)?|\b\d{1,2}\s?[ap]\.?m\b\.?)
    | (?P<version>\b[vV]\d+(?:\.\d+)*[\w-]*\b|\b\d+(?:\.\d+){2,}[\w-]*\b)
    | (?P<flag>(?<![\w-])--?[A-Za-z][\w]*(?:-[\w]+)*(?==|\b))
    | (?P<number>(?:(?<![\w.)])-)?(?<![A-Za-z])\d+(?:,\d{2,3})*(?:\.\d+)?(?:[eE][+-]?\d+\b)?)
    | (?P<sharp>\b[A-Za-z](?:\+\+|\#)(?![\w+\#])|(?<!\w)\.(?:NET|net)\b)
    | (?P<dotted>\b[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+(?:\(\))?)
    | (?P<word>(?:[A-Za-z]\w*|[^\W\d_]+)(?:['\u2019](?:[^\W\d_]+))?(?:\(\))?|_+\w+(?:\(\))?)
    | (?P<operator>°[CFcf]\b|===|!==|<=>|\*\*|//|\+\+|&&|\|\||[=!<>:+*/%&|^-]=|=>|->|<-|<<|>>|::|\?\?|\?\.
                  |[-+*/%=<>&|^~@\#\\$€£₹¥°])
    | (?P<quote>["“”„«»])
    | (?P<bracket>[()\[\]{}])
    | (?P<stop>[.?!;:,\u2026\u3002\uff1f\uff01\n])
    | (?P<sign>[^\s\w])
    """,
    re.VERBOSE,
)
_KINDS = {name: name for name in _PATTERN.groupindex} | {"plain": "word"}
_ACCENTS = re.compile("[\u0300-\u036f]")
_ENDS = frozenset(".?!\n\u2026\u3002\uff1f\uff01:")
_SENSELESS = frozenset(("bracket", "quote"))


def tokens(text: str) -> tuple[list[Token], int]:
    """Tokenise a text up to the bound; returns the tokens and where the unparsed rest begins."""
    found: list[Token] = []
    initial = True
    looked = text if len(text) <= CHARS_MAX else text[:CHARS_MAX]
    for match in _PATTERN.finditer(looked):
        if len(found) == TOKENS_MAX:
            return found, match.start()
        kind = _KINDS[match.lastgroup or "sign"]
        piece = match.group()
        found.append(Token(piece, folded(piece), kind, match.start(), match.end(), initial))
        initial = piece in _ENDS if kind == "stop" else initial and kind in _SENSELESS
    return found, len(looked)


def folded(piece: str) -> str:
    """Fold a text: no case, one form for what looks alike, no accents of Latin letters."""
    if piece.isascii():
        return piece.lower()
    plain = unicodedata.normalize("NFKC", piece).casefold().replace("\u2019", "'")
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", plain))
    return bare if bare.isascii() else plain
