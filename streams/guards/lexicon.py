"""Lexicon: the word lists of `words/`, read once; their digest is part of a decision's `behaviour`.

A list is lines of words separated by commas; `#` opens a comment, `=` and `|` separate what a file's head says.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

_PLACES = re.compile(r"\(([^()]*)\)")
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


def alternatives(line: str) -> list[str]:
    """What a line says in each of its (one|another) places."""
    parts = [part.split("|") for part in _PLACES.split(line)]
    return [
        "".join(chosen) for chosen in product(*(part if at % 2 else ["|".join(part)] for at, part in enumerate(parts)))
    ]


def renderings(left: str, right: str) -> Iterator[tuple[str, str]]:
    """What both sides of a line say in each case; {1} on the right is what the first place on the left says."""
    parts = [part.split("|") for part in _PLACES.split(left)]
    for chosen in product(*(part if at % 2 else ["|".join(part)] for at, part in enumerate(parts))):
        meant = right
        for number, said in enumerate(chosen[1::2], 1):
            meant = meant.replace(f"{{{number}}}", said)
        yield "".join(chosen), meant


_PLACE = re.compile(r"\(([^()]*)\)|(\S+)")


def places(line: str) -> list[list[str]]:
    """What a line says at each of its places, one of them a word or (one|of several|words)."""
    found = ((match[1] if match[1] is not None else match[2]).split("|") for match in _PLACE.finditer(line))
    return [[" ".join(each.split()) for each in said] for said in found]


def pattern(line: str) -> str:
    """A line as a pattern of words with a blank behind each; an empty alternative of a place may be left out."""
    found = ""
    for said in places(line):
        words = "|".join(f"{re.escape(each)} " for each in said if each)
        if words:
            found += f"(?:{words})?" if "" in said else f"(?:{words})"
    return found


def firsts(line: str) -> set[str]:
    """Words with which a line may begin."""
    found: set[str] = set()
    for said in places(line):
        found.update(each.split()[0] for each in said if each)
        if "" not in said:
            break
    return found


T = TypeVar("T")


class Phrases(Generic[T]):
    """Phrase table: sequences of words with their meaning, found word by word, the longest first."""

    def __init__(self, entries: Iterable[tuple[Sequence[str], T]]) -> None:
        self._root = _Node[T]([], {})
        for said, meant in entries:
            node = self._root
            for word in said:
                node = node.following.setdefault(word, _Node([], {}))
            node.meanings.append(meant)
        firsts = self._root.following.items()
        self._firsts = frozenset(self._root.following)
        self._alone = frozenset(word for word, node in firsts if node.meanings)
        self._twos = frozenset((word, second) for word, node in firsts for second in node.following)

    def at(self, lows: Sequence[str], start: int) -> list[tuple[int, T]]:
        """Phrases that begin at a word, as (end, meaning)."""
        found: list[tuple[int, T]] = []
        node, end = self._root.following.get(lows[start]), start + 1
        while node is not None:
            if node.meanings:
                found[:0] = [(end, meant) for meant in node.meanings]
            node, end = node.following.get(lows[end]) if end < len(lows) else None, end + 1
        return found

    def spans(self, lows: Sequence[str]) -> list[tuple[int, int, T]]:
        """Phrases in a text that do not overlap, the longest at each place, as (start, end, meaning)."""
        found: list[tuple[int, int, T]] = []
        done = 0
        for start in self.openings(lows):
            if start >= done and (here := self.at(lows, start)):
                done, meant = here[0]
                found.append((start, done, meant))
        return found

    def openings(self, lows: Sequence[str]) -> list[int]:
        """Places at which a phrase may begin, by its first two words: few, and only there it is looked for."""
        firsts = [at for at, low in enumerate(lows) if low in self._firsts]
        return [at for at in firsts if lows[at] in self._alone or tuple(lows[at : at + 2]) in self._twos]


class _Node(NamedTuple, Generic[T]):
    """What the words up to here mean as a phrase, and the words with which longer phrases go on."""

    meanings: list[T]
    following: dict[str, _Node[T]]


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
