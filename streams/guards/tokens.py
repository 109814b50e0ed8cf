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

    @property
    def is_opening(self) -> bool:
        """Whether what follows opens a sentence."""
        return (
            self.text in _ENDS
            if self.kind == "stop"
            else self.initial and (self.kind in _SENSELESS or self.text in _OPENING)
        )


_ANYWHERE = r"""
    | (?P<date>\b\d{4}-\d{1,2}-\d{1,2}\b)
    | (?P<time>\b\d{1,2}:\d{2}(?::\d{2})?(?:\s?[apAP]\.?[mM]\b\.?)?|\b\d{1,2}\s?[apAP]\.?[mM]\b\.?)
    | (?P<version>\b[vV]\d+(?:\.\d+)*[\w-]*\b|\b\d+(?:\.\d+){2,}[\w-]*\b|\b\d+[ae]\b)
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
"""
_PLAIN = r"(?P<plain>[A-Za-z]+)(?:[ ]|(?=[?,!]|$))"
"""Most words, tried first, and the blank behind, at which every other pattern would be tried in vain."""
_MARKED = r"""
    | (?P<fence>```[^`]*(?:```|$))
    | (?P<span>`[^`\n]+`)
    | (?P<url>\b(?:https?|ftp|file|s3|git|ssh|jdbc|mailto)://[^\s<>"'`)\]]+|\bwww\.[^\s<>"'`)\]]+)
    | (?P<path>(?:[A-Za-z]:\\|\.{1,2}/|~/|(?<![\w/])/)[\w.@+\-]+(?:[\\/][\w.@+\-*]+)*)
    | \b(?=[\w.+-]++[@/])  # one look ahead tells that none of these begins here
      (?:(?P<email>[\w.+-]++@[\w-]++(?:\.[\w-]+)+)
        |(?P<file>[\w.-]++(?:/[\w.-]++)*/[\w-]++\.[A-Za-z]\w{0,4}\b|[\w-]++(?:/[\w.-]++){2,}))
"""
"""What needs one of `_MARKS`. It looks for its mark through a run of characters, at every token of the run."""
_MARKS = re.compile(r"[`@/\\]|www\.")
_WHOLE = re.compile(_PLAIN + _MARKED + _ANYWHERE, re.VERBOSE)
_PROSE = re.compile(_PLAIN + _ANYWHERE, re.VERBOSE)
"""What finds the same in a text without marks, and reads no character of it more than a few times."""
_KINDS = {"plain": "word", "file": "path"}
"""Kinds of tokens that go by two patterns."""
_ACCENTS = re.compile("[\u0300-\u036f]")
_ENDS = frozenset(".?!\n\u2026\u3002\uff1f\uff01:")
_OPENING = frozenset("¿¡")
_SENSELESS = frozenset(("bracket", "quote"))


def tokens(text: str, initial: bool = True) -> tuple[list[Token], int]:
    """Tokenise a text up to the bound; returns the tokens and where the unparsed rest begins.

    `initial` tells whether the text opens a sentence.
    """
    found: list[Token] = []
    looked = text if len(text) <= CHARS_MAX else text[:CHARS_MAX]
    pattern = _WHOLE if _MARKS.search(looked) else _PROSE
    for match in pattern.finditer(looked):
        if len(found) == TOKENS_MAX:
            return found, match.start()
        kind = match.lastgroup or "sign"
        piece, start = match[kind], match.start()
        found.append(Token(piece, folded(piece), _KINDS.get(kind, kind), start, start + len(piece), initial))
        initial = found[-1].is_opening
    return found, len(looked)


def folded(piece: str) -> str:
    """Fold a text: no case, one form for what looks alike, no accents of Latin letters."""
    if piece.isascii():
        return piece.lower()
    plain = unicodedata.normalize("NFKC", piece).casefold().replace("\u2019", "'")
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", plain))
    return bare if bare.isascii() else plain
