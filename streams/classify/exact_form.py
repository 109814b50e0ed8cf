"""The exact form of a question, by which it is matched exactly: only what cannot change its meaning is normalised.

A text is changed only when it is prose, made of letters, digits, blanks and marks of sentences alone, and does not
speak of spelling. Code, quotations, addresses, formulas and tables all hold some other character or an indented line:
such a text loses line ends before and behind it, and is otherwise kept byte for byte. So is all of a long one, which
holds material rather than words of the asker alone.
"""

from __future__ import annotations

import re
import string
import unicodedata

CHARS_MAX = 8_000
"""Longer texts are kept as they are."""
_MARKS = frozenset(" \n.,!?:()%-\u2013\u2014\u2026\u00bf\u00a1\u3002\uff1f\uff01\uff0c\u3001\u061f\u060c\u0964")
"""Marks of sentences. No quotes, slash, hash, underscore, equals sign, brackets, semicolon or tab."""
_KINDS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd", "Zs"})
"""Unicode's letters, marks on letters, decimal digits and blanks; not symbols, emoji, superscripts, hidden marks."""
_PLAIN = _MARKS | set(string.ascii_letters + string.digits)
"""What most texts are made of; of no other character the kind needs to be looked up."""
_APOSTROPHES = frozenset("'\u2019")
_APOSTROPHE = re.compile(r"(?<=[^\W\d_])['\u2019](?=[^\W\d_])")
"""Between letters; elsewhere it may quote."""
_INDENTED = re.compile(r"^[^\S\n]+\S", re.MULTILINE)
_BLANKS = re.compile(r"[^\S\n]+")
_MARKS_IN_A_ROW_MAX = 30
"""More than any writing needs (Unicode's stream-safe format, UAX 15); sorting them takes the square of their number."""
_OF_SPELLING = re.compile(
    r"\b(?:white ?spac|spac(?:e[sd]?|ing)\b|blank|indent|tabs?\b|new ?line|line (?:break|end|feed)|carriage|crlf"
    r"|char(?:s|acters?)?\b|letters?\b|capitali[sz]|upper|lower ?case|cased?\b|punctuat|mark|full stop|period\b|dots?\b"
    r"|typos?\b|spell|misspel|gramma|proof ?read|format|unicode|normali|code ?points?\b|bytes?\b|tokens?\b|strings?\b"
    r"|sentences?\b|texts?\b|length\b|correct|verbatim|literal|exact|repeat|echo\b|quot|accent|diacritic"
    r"|regex|regular|pattern|wildcard|glob\b|operator|optional|nullable"
    # A blank in other languages.
    r"|espaces?\b|espacios?\b|espa\u00e7os?\b|leerzeichen|spazio?\b|spaties?\b|bo\u015fluk|odst\u0119p"
    r"|\u043f\u0440\u043e\u0431\u0435\u043b)"
    r"|\u7a7a\u683c|\u7a7a\u767d|\u30b9\u30da\u30fc\u30b9|\uacf5\ubc31|\u0645\u0633\u0627\u0641",
    re.IGNORECASE,
)
"""Words of texts that may be about their own spelling: what is normalised could be what they ask about."""
_OF_SPELLING_IN_ASCII = re.compile(_OF_SPELLING.pattern)
"""The same in small letters of ASCII, where it need not try two cases of each letter."""
_ASKS = re.compile(
    r"(?:(?:[Ww]hat|[Ww]ho|[Ww]hom|[Ww]here|[Ww]hen|[Ww]hy|[Hh]ow)"
    r" (?:is|are|was|were|do|does|did|can|could|should|would|will|has|have|had)"
    r"|[Hh]ow (?:many|much)"
    r"|(?:[Ii]s|[Aa]re|[Ww]as|[Dd]oes|[Dd]id|[Cc]an|[Cc]ould|[Ww]ould)"
    r" (?:you|I|we|they|he|she|it|the|a|an|this|that|these|those|there|my|your)"
    r"|[Dd]o (?:you|I|we|they)) "
)
"""Beginnings that make an English text a question, with its mark or without; no name and no exclamation begins so."""
_MARKED = re.compile(r" [^\W_]{2,} ?\?$")
"""One question mark behind a word of letters and digits; `a?`, `b.c?` and `??` could be more than a question's end."""


def exact_form(text: str) -> str:
    """Normalise a text to its exact form. Idempotent.

    Normalised in prose: Unicode by NFC (not NFKC, for which the power of 2\u00b2 is a digit, 22), line ends, and blanks
    at the ends of lines and of the text. In one line without a colon (data may stand behind it) also runs of blanks;
    and in an English question by its form, the case of its first letter and the question mark behind its last word.
    """
    if len(text) > CHARS_MAX or not _is_stream_safe(text):
        return text
    composed = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    normalised = _normalise_prose(composed) if _is_prose(composed) else text.strip("\r\n")
    return text if normalised == text or _is_of_spelling(composed) else normalised


def _is_of_spelling(text: str) -> bool:
    found = _OF_SPELLING_IN_ASCII.search(text.lower()) if text.isascii() else _OF_SPELLING.search(text)
    return found is not None


def _normalise_prose(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.split("\n")).strip()
    if "\n" in lines or ":" in lines:
        return lines
    return _normalise_question(_BLANKS.sub(" ", lines))


def _is_stream_safe(text: str) -> bool:
    if text.isascii():
        return True
    row = 0
    for char in text:
        row = row + 1 if unicodedata.combining(char) else 0
        if row > _MARKS_IN_A_ROW_MAX:
            return False
    return True


def _is_prose(text: str) -> bool:
    chars = set(text) - _PLAIN
    if not _APOSTROPHES.isdisjoint(chars):
        chars = set(_APOSTROPHE.sub("", text)) - _PLAIN
    if any(unicodedata.category(char) not in _KINDS for char in chars):
        return False
    return "\n" not in text.strip() or _INDENTED.search(text) is None


def _normalise_question(line: str) -> str:
    if _ASKS.match(line) is None:
        return line
    if _MARKED.search(line):
        line = line[:-1].rstrip()
    return line[0].lower() + line[1:]
