"""Lexicon: the word lists of `words/`, read once; their digest is part of a decision's `behaviour`.

A list is lines of words separated by commas; `#` opens a comment, `=` and `|` separate what a file's head says.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

FOLDER = Path(__file__).parent / "words"


def lines(name: str, folder: Path = FOLDER) -> list[str]:
    """The lines of a list in `folder` without comments and blanks."""
    text = (folder / f"{name}.txt").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("# ")]


def split_list(line: str, mark: str = ",") -> list[str]:
    """Split a line at `mark`, blanks stripped."""
    return [part.strip() for part in line.split(mark) if part.strip()]


def words(name: str) -> frozenset[str]:
    """All words of a list."""
    return frozenset(word for line in lines(name) for word in split_list(line))


def groups(name: str) -> list[list[str]]:
    """The words of each line."""
    return [split_list(line) for line in lines(name)]


def pairs(name: str, folder: Path = FOLDER) -> list[tuple[str, str]]:
    """Key and value of each line `KEY = VALUE` of a list in `folder`."""
    return [(left.strip(), right.strip()) for left, _, right in (line.partition("=") for line in lines(name, folder))]


T = TypeVar("T")


class Phrases(Generic[T]):
    """Phrase table: sequences of words with their meaning, found by the first two words, the longest first."""

    def __init__(self, entries: Iterable[tuple[Sequence[str], T]]) -> None:
        self._firsts: dict[str, dict[str, list[tuple[list[str], T]]]] = {}
        for said, meant in sorted(entries, key=lambda entry: -len(entry[0])):
            seconds = self._firsts.setdefault(said[0], {})
            seconds.setdefault(said[1] if len(said) > 1 else "", []).append((list(said), meant))

    def at(self, lows: list[str], start: int) -> Iterator[tuple[int, T]]:
        """Phrases that begin at a word, as (end, meaning)."""
        seconds = self._firsts.get(lows[start])
        if seconds is not None:
            for second in (lows[start + 1] if start + 1 < len(lows) else "", ""):
                for said, meant in seconds.get(second, ()):
                    if lows[start : start + len(said)] == said:
                        yield start + len(said), meant


class Side(NamedTuple):
    """A term's place: terms of one line on different sides exclude each other."""

    line: int
    side: int


def sides(name: str) -> dict[str, tuple[Side, ...]]:
    """Where each term stands in a list of lines whose sides `|` parts."""
    found: dict[str, list[Side]] = defaultdict(list)
    for number, line in enumerate(lines(name)):
        for side, terms in enumerate(line.split("|")):
            for term in split_list(terms):
                if Side(number, side) not in found[term]:
                    found[term].append(Side(number, side))
    return {term: tuple(places) for term, places in found.items()}


class Unit(NamedTuple):
    """A unit of measure: numbers of one dimension compare by value."""

    dimension: str
    factor: Fraction


def units() -> dict[str, Unit]:
    """The units by their names."""
    found: dict[str, Unit] = {}
    for line in lines("units"):
        dimension, factor, names = split_list(line, "|")
        found.update(dict.fromkeys(split_list(names), Unit(dimension, Fraction(factor))))
    return found


def digest(folder: Path) -> str:
    """8 hex digits over the code and the lists of the guards in `folder`, in the order of their names."""
    hashed = hashlib.sha256()
    for path in sorted([*folder.glob("*.py"), *folder.glob("words/*.txt")], key=lambda p: p.relative_to(folder).parts):
        hashed.update(path.relative_to(folder).as_posix().encode() + b"\0")
        hashed.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return hashed.hexdigest()[:8]
