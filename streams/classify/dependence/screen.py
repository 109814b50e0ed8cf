"""Screen: which patterns may match a text, by its words alone: most match none, and are read no further.

A pattern stands for a match only where each of its words has one of its spellings in the text, in whatever place.
That is told of all patterns at once, with one bit for each word of each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from refrain.streams.classify.dependence.patterns import Pattern, patterns

Candidates = Mapping[str, Sequence[Pattern]]
"""Patterns by the name of their list, in the order of its lines; of lists without any there is none."""
_NO_CANDIDATES: Candidates = {}


class Screen:
    """The patterns of several lists, and which of them a word is needed by."""

    def __init__(self, *names: str) -> None:
        """The lists `words/NAME.txt`. Raises ValueError for a class of words that there is not."""
        self._patterns = [(name, pattern) for name in names for pattern in patterns(name)]
        self._size = len(self._patterns)
        slots = max(len(pattern.needs) for _, pattern in self._patterns)
        self._others = range(1, slots)
        self._first = (1 << self._size) - 1
        """The bits of the first slot."""
        self._ahead = 0
        """The slots that a pattern does not need."""
        self._needed_by: dict[str, int] = {}
        for at, (_, pattern) in enumerate(self._patterns):
            for slot in range(slots):
                bit = 1 << (slot * self._size + at)
                if slot >= len(pattern.needs):
                    self._ahead |= bit
                    continue
                for word in pattern.needs[slot]:
                    self._needed_by[word] = self._needed_by.get(word, 0) | bit

    def candidates(self, words: Iterable[str]) -> Candidates:
        """The patterns that may match a text of these words, in any order; no other one does."""
        met, needed_by = self._ahead, self._needed_by
        for word in words:
            if word in needed_by:
                met |= needed_by[word]
        whole = met & self._first
        for _ in self._others:
            met >>= self._size
            whole &= met
            if not whole:
                return _NO_CANDIDATES
        return self._named(whole)

    def _named(self, bits: int) -> Candidates:
        found: dict[str, list[Pattern]] = {}
        while bits:
            lowest = bits & -bits
            name, pattern = self._patterns[lowest.bit_length() - 1]
            found.setdefault(name, []).append(pattern)
            bits ^= lowest
        return found
