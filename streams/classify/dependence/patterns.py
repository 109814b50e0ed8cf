"""Patterns: the lines of the lists in `words/`, searched in a text's `wording`.

A line is words with blanks between them. `a|b` is one of several words, `a+b` two words in one place, `{name}` one of
the words of `classes.txt`, `_` any word, `_?` one or none, `*` up to three words, `**` up to eight; none of these goes
beyond a sentence. `x?` may be missing, `!a|b` says what must not follow, `^` in front and `$` are the beginning and the
end of a sentence. Chinese is written without blanks and in simplified characters: each character counts as a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from refrain.streams.classify.dependence.wording import FOLDER, joined, parted
from refrain.streams.guards import lexicon

_WORD = r"[^ .?:]+ "
_END = r"(?=[.?:] )"
_OPENS = "^"
_FIXED = {
    "_": _WORD,
    "_?": f"(?:{_WORD})?",
    "*": f"(?:{_WORD}){{0,3}}?",
    "**": f"(?:{_WORD}){{0,8}}?",
    "$": _END,
}


class Match(NamedTuple):
    """A match: its place in the wording and the words of the list that it was found by."""

    start: int
    end: int
    words: str


class Pattern(NamedTuple):
    """A line of a list."""

    number: int
    """Of the line in its list."""
    regex: re.Pattern[str]
    """Its groups hold what is the list's, and not the asker's."""
    opens: bool
    """Whether it stands only at the beginning of a sentence."""
    needs: tuple[frozenset[str], ...]
    """Sets of words: a text without a word of each of them has no match."""

    def search(self, wording: str, at: int) -> re.Match[str] | None:
        """The first match from a place on that begins with a word."""
        # The search skips by the letters of the first words; an assertion in front of them would end that.
        while (found := self.regex.search(wording, at)) is not None:
            at = found.start()
            if at == 0 or (wording[at - 1] == " " and (not self.opens or wording[at - 2] in ".?:")):
                return found
            at += 1
        return None


@cache
def patterns(name: str) -> tuple[Pattern, ...]:
    """The patterns of the list `words/NAME.txt`, made once. Raises ValueError where a class of words is not known."""
    return tuple(_pattern(number, line.split()) for number, line in enumerate(lexicon.lines(name, FOLDER)))


def search(patterns: Sequence[Pattern], wording: str) -> Iterator[Match]:
    """Matches from left to right, without overlaps; where several begin, that of the line that comes first."""
    ahead = [
        (found.start(), pattern.number, found, pattern)
        for pattern in patterns
        if (found := pattern.search(wording, 0)) is not None
    ]
    heapify(ahead)
    at = 0
    while ahead:
        start, number, match, pattern = ahead[0]
        if start >= at:
            yield Match(start, match.end(), joined("".join(piece or "" for piece in match.groups()).strip()))
            at = max(match.end(), start + 1)
        found = pattern.search(wording, at)
        if found is None:
            heappop(ahead)
        else:
            heapreplace(ahead, (found.start(), number, found, pattern))


def opening(patterns: Sequence[Pattern], wording: str) -> int:
    """Where the first of the patterns that matches at the beginning ends; 0 when none does."""
    for pattern in patterns:
        if (found := pattern.regex.match(wording)) is not None:
            return found.end()
    return 0


@cache
def classes() -> dict[str, tuple[str, ...]]:
    """The classes of words by name, the longest first: "credit card" before "credit"."""
    found: dict[str, set[str]] = {}
    for name, said in lexicon.pairs("classes", FOLDER):
        found.setdefault(name, set()).update(lexicon.split_list(said))
    return {name: tuple(sorted(words, key=lambda word: (-len(word), word))) for name, words in found.items()}


def _pattern(number: int, tokens: Sequence[str]) -> Pattern:
    opens = tokens[0] == _OPENS
    said = tokens[1:] if opens else tokens
    return Pattern(number, re.compile("".join(map(_regex, said))), opens, tuple(_needs(said)))


def _needs(tokens: Sequence[str]) -> Iterator[frozenset[str]]:
    """Of each token that cannot be missing a word for each of its spellings: the longest, which is the rarest."""
    for token in tokens:
        # Marks of sentences come in where something is left out, and are no words.
        if token not in _FIXED and token[0] not in "!.?:" and token[-1] != "?" and "$" not in token:
            yield frozenset(max(word.split(), key=len) for word in _words(token))


def _regex(token: str) -> str:
    if token in _FIXED:
        return _FIXED[token]
    if token.startswith("!"):
        return f"(?!{_one_of(token[1:])})"
    if token.endswith("?") and len(token) > 1:
        return f"({_one_of(token[:-1])})?"
    return f"({_one_of(token)})"


def _one_of(token: str) -> str:
    words = _alternatives(_words(token))
    return f"(?:(?:{words}) |{_END})" if "$" in token.split("|") else f"(?:{words}) "


def _alternatives(words: Sequence[str]) -> str:
    """One of the words, the first that fits. By their first letters, so that few of a long class are tried."""
    rests: dict[str, list[str]] = {}
    for word in words:
        rests.setdefault(word[0], []).append(re.escape(word[1:]))
    return "|".join(f"{re.escape(letter)}(?:{'|'.join(of)})" for letter, of in rests.items())


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
    return tuple(" ".join(parted(word).split()) for word in found)
