"""Patterns: the lines of the lists in `words/`, searched in a text's `wording`.

A line is words with blanks between them. `a|b` is one of several words, `a+b` two words in one place, `{name}` one of
the words of `classes.txt`, `_` any word, `_?` one or none, `*` up to three words, `**` up to eight; none of these goes
beyond a sentence. `x?` may be missing, `!a|b` says what must not follow, `^` and `$` are the beginning and the end of a
sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from refrain.streams.guards import lexicon

FOLDER = Path(__file__).parent / "words"
_WORD = r"[^ .?:]+ "
_END = r"(?=[.?:] )"
_FIXED = {
    "_": _WORD,
    "_?": f"(?:{_WORD})?",
    "*": f"(?:{_WORD}){{0,3}}?",
    "**": f"(?:{_WORD}){{0,8}}?",
    "^": r"(?:(?<=[.?:] )|(?<![^\n]))",
    "$": _END,
}


class Match(NamedTuple):
    """A match: its place in the wording and the words of the list that it was found by."""

    start: int
    end: int
    words: str


class _Pattern(NamedTuple):
    number: int
    """Of its line: no two have the same, so that patterns are never compared."""
    regex: re.Pattern[str]
    """Its groups hold what is the list's, and not the asker's."""


class Patterns:
    """The patterns of a list, found by the word that they begin with."""

    def __init__(self, name: str) -> None:
        """The list `words/NAME.txt`. Raises ValueError for a class of words that there is not."""
        anywhere: list[_Pattern] = []
        by_first: dict[str, list[_Pattern]] = {}
        for number, line in enumerate(lexicon.lines(name, FOLDER)):
            tokens = line.split()
            pattern = _Pattern(number, re.compile("".join(map(_regex, tokens))))
            firsts = _firsts(tokens)
            if firsts is None:
                anywhere.append(pattern)
            for first in firsts or ():
                by_first.setdefault(first, []).append(pattern)
        self._anywhere = tuple(each.regex for each in anywhere)
        self._by_first = {
            first: tuple(each.regex for each in sorted([*found, *anywhere])) for first, found in by_first.items()
        }

    def search(self, wording: str) -> Iterator[Match]:
        """Matches from left to right, without overlaps; where several begin, the one whose line comes first."""
        at = 0
        while at < len(wording):
            end = wording.index(" ", at)
            found = self._at(wording, at, wording[at:end])
            if found is not None:
                yield found
            at = max(end + 1, found.end if found is not None else 0)

    def _at(self, wording: str, at: int, first: str) -> Match | None:
        for regex in self._by_first.get(first, self._anywhere):
            found = regex.match(wording, at)
            if found is not None:
                return Match(at, found.end(), "".join(piece or "" for piece in found.groups()).strip())
        return None


@cache
def classes() -> dict[str, tuple[str, ...]]:
    """The classes of words by name, the longest first: "credit card" before "credit"."""
    found: dict[str, set[str]] = {}
    for name, said in lexicon.pairs("classes", FOLDER):
        found.setdefault(name, set()).update(lexicon.split_list(said))
    return {name: tuple(sorted(words, key=lambda word: (-len(word), word))) for name, words in found.items()}


def _regex(token: str) -> str:
    if token in _FIXED:
        return _FIXED[token]
    if token.startswith("!"):
        return f"(?!{_one_of(token[1:])})"
    if token.endswith("?") and len(token) > 1:
        return f"({_one_of(token[:-1])})?"
    return f"({_one_of(token)})"


def _one_of(token: str) -> str:
    words = "|".join(re.escape(word) for word in _words(token))
    return f"(?:(?:{words}) |{_END})" if "$" in token.split("|") else f"(?:{words}) "


def _words(token: str) -> tuple[str, ...]:
    """The words that a token stands for."""
    found: list[str] = []
    for word in token.split("|"):
        if word.startswith("{"):
            if word[1:-1] not in classes():
                raise ValueError(f"a list names the class {word}, which words/classes.txt does not have: add it there")
            found += classes()[word[1:-1]]
        elif word != "$":
            found.append(word.replace("+", " "))
    return tuple(found)


def _firsts(tokens: Sequence[str]) -> set[str] | None:
    """The words that a match may begin with, None where any may."""
    first = next(token for token in tokens if token != "^")
    if first in _FIXED or first.startswith("!") or first.endswith("?"):
        return None
    return {word.partition(" ")[0] for word in _words(first)}
