"""The guard `payload`: a request that handles a text is an instruction and a payload; the payload must be the same.

The payload is what stands after a colon, in a fence, in quotes, in another paragraph, or as the object of an
instruction (translate X into French). The instruction may be worded otherwise; other guards compare it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from refrain.streams.guards.lexicon import words
from refrain.streams.guards.tokens import folded

_HANDLED = words("handled")
_HANDLED_SIGNS = tuple(each for each in sorted(_HANDLED) if not each.isascii())
"""Those of scripts that set no blanks between words."""
_FENCE = re.compile(r"```[^\n`]*\n?(.*?)(?:```|$)", re.DOTALL)
_QUOTED = re.compile(r"\"([^\"\n]{2,}+)\"|“([^”\n]{2,}+)”|«([^»\n]{2,}+)»|(?<!\w)'([^'\n]{2,}+)'(?!\w)")
_QUOTES = ('"', "'", "\u201d", "\u00bb")
"""Marks that close a quotation."""
_COLON = re.compile("[:\uff1a](?=\\s|[\"'\u201c\u00ab]|[^\x00-\x7f])| [\u2013\u2014] ")
_BEFORE = re.compile(
    "translate |say |write |spell |pronounce | [a-z]'s (?:are |is )?(?:there )?in "
    "|vowel|consonant|letter|syllable|character|anagram|rhyme|palindrome"
)
"""What stands before an object that is a payload."""
_TARGET = re.compile(r"(?: in| into| to) \w+\W*$", re.IGNORECASE)
_TARGETED = (
    re.compile(r"\btranslate (?P<payload>.+?)(?: from \w+)?(?: in| into| to) \w+\W*$", re.IGNORECASE),
    re.compile(r"\b(?:say|spell|pronounce) (?P<payload>.+?) in \w+\W*$", re.IGNORECASE),
    # What is written in a language of programs is a task, and no text.
    re.compile(rf"\bwrite (?P<payload>.+?) in (?:{'|'.join(sorted(words('tongues')))})\W*$", re.IGNORECASE),
)
_SPELLED = re.compile(r"\b(?:spell|pronounce) (?:the word )?(?P<payload>\w+)\W*$", re.IGNORECASE)
_LETTERS = re.compile(
    r"\b(?:vowels?|consonants?|letters?|syllables?|characters?|anagrams?|rhymes?|palindromes?|[a-z]'s)"
    r" (?:are |is )?(?:there )?(?:in|of|for|with) (?:the word )?(?P<payload>\w+)\W*$",
    re.IGNORECASE,
)
"""A word of which the letters or the sound are asked for."""
_BY_LETTER = words("by_letter")
_POINTING = re.compile(r"\b(?:is|are) (?:this|these|it)\b", re.IGNORECASE)
"""What is asked of a text that stands behind a colon."""
_WORDS = re.compile(r"[^\W_]+")
_EDGE = " \t\r\n\"'`.?!,;:\u201c\u201d\u00ab\u00bb\u2018\u2019\u2026\u3002\uff1f\uff01"
_DEFINITE = re.compile(r"^(?:the|this|following|it|that|my|these|those)\b", re.IGNORECASE)


class Payload(NamedTuple):
    """Payload of a text, "" when it handles none; `text` is the whole, in which the other's payload is looked for."""

    payload: str
    shown: str
    """The payload as it stands."""
    text: str
    """As it stands, too."""


def read_payload(text: str) -> Payload:
    """Extract the payload of a text."""
    shown = _fenced(text) or _after_colon(text) or _paragraph(text) or _quoted(text) or _object(text)
    if not shown:
        return Payload("", "", text)
    normal = " ".join(shown.split())
    return Payload(normal if _is_by_letter(text, shown) else _normal(shown), normal, text)


def differences(a: Payload, b: Payload) -> tuple[str, ...]:
    """Differences: the payloads that are not the same; of one alone, whether the other text holds it."""
    if a.payload == b.payload:
        return ()
    if a.payload and b.payload:
        return (a.shown, b.shown)
    mine, other = (a, b) if a.payload else (b, a)
    return () if f" {mine.payload} " in f" {_normal(other.text)} " else (mine.shown,)


def _normal(text: str) -> str:
    """Text without case, marks at its edges and runs of blanks; letters keep their accents: a payload is data."""
    return " ".join(text.split()).strip(_EDGE).casefold()


def _is_by_letter(text: str, payload: str) -> bool:
    """Whether what is asked of a payload depends on each of its letters as it is written: encode it, hash it."""
    return not _BY_LETTER.isdisjoint(map(folded, _WORDS.findall(text.replace(payload, " "))))


def _handles(text: str) -> bool:
    if not _HANDLED.isdisjoint(map(folded, _WORDS.findall(text))):
        return True
    return not text.isascii() and any(each in text for each in _HANDLED_SIGNS)


def _fenced(text: str) -> str:
    return "\n".join(piece for piece in _FENCE.findall(text) if piece.strip()) if "```" in text else ""


def _after_colon(text: str) -> str:
    found = _COLON.search(text) if ":" in text or not text.isascii() else None
    if found is None:
        return ""
    said = text[: found.start()]
    return text[found.end() :].strip() if _handles(said) or _POINTING.search(said) else ""


def _paragraph(text: str) -> str:
    """All paragraphs but the one that instructs: the first, or else the last, that handles a text or asks."""
    if "\n" not in text:
        return ""
    pieces = [piece.strip() for piece in text.split("\n") if piece.strip()]
    if len(pieces) < 2:
        return ""
    for at in (0, len(pieces) - 1):
        if _handles(pieces[at]):
            return "\n".join(pieces[:at] + pieces[at + 1 :])
    return ""


def _quoted(text: str) -> str:
    found = _QUOTED.findall(text) if any(mark in text for mark in _QUOTES) else ()
    if not found or not _handles(_QUOTED.sub(" ", text)):
        return ""
    return "\n".join(next(filter(None, match)) for match in found)


def _object(text: str) -> str:
    # Without regard to case a pattern also takes a few letters beyond ASCII for others: only a plain text is passed by.
    if text.isascii() and not _BEFORE.search(text.lower()):
        return ""
    target = _TARGET.search(text)
    # A payload stands in the line of its target, of which a text has one at most.
    found = [] if target is None else [each.search(text, _line_of(text, target)) for each in _TARGETED]
    for match in (*found, _SPELLED.search(text), _LETTERS.search(text)):
        if match is not None and not _DEFINITE.match(match["payload"]):
            return str(match["payload"])
    return ""


def _line_of(text: str, found: re.Match[str]) -> int:
    """Where the line begins in which something was found."""
    return text.rfind("\n", 0, found.start()) + 1
