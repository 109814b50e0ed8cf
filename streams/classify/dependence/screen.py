"""Screen: which patterns may match a text, by its words alone. Most texts have the words of none, and are not searched.

All patterns are screened at once, by the bits of one number: bit `need * patterns + at` tells that the text has a word
for this need of the pattern at this place. A pattern may match where the bits of all its needs are set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from refrain.streams.classify.dependence.patterns import Pattern, patterns

Candidates = Mapping[str, Sequence[Pattern]]
"""Patterns by the name of their list, in the order of its lines; a list without any is not named."""
_NO_CANDIDATES: Candidates = {}


class Screen:
    """The patterns of several lists, with the words that they need."""

    def __init__(self, *names: str) -> None:
        """The lists `words/NAME.txt`. Raises ValueError for a class of words that there is not."""
        self._patterns = [(name, pattern) for name in names for pattern in patterns(name)]
        self._size = len(self._patterns)
        self._all = (1 << self._size) - 1
        self._needs_max = max(len(pattern.needs) for _, pattern in self._patterns)
        self._by_word: dict[str, int] = {}
        self._met = 0
        """The bits of the needs that a pattern has not."""
        for at, (_, pattern) in enumerate(self._patterns):
            for need, words in enumerate(pattern.needs):
                for word in words:
                    self._by_word[word] = self._by_word.get(word, 0) | self._bit(need, at)
            for need in range(len(pattern.needs), self._needs_max):
                self._met |= self._bit(need, at)

    def candidates(self, words: Iterable[str]) -> Candidates:
        """The patterns that may match a text of these words, in whatever order they stand; no other pattern does."""
        met, by_word = self._met, self._by_word
        for word in words:
            if word in by_word:
                met |= by_word[word]
        bits = met & self._all
        for _ in range(1, self._needs_max):
            if not bits:
                return _NO_CANDIDATES
            met >>= self._size
            bits &= met
        return self._of(bits)

    def _bit(self, need: int, at: int) -> int:
        return 1 << (need * self._size + at)

    def _of(self, bits: int) -> Candidates:
        found: dict[str, list[Pattern]] = {}
        while bits:
            lowest = bits & -bits
            name, pattern = self._patterns[lowest.bit_length() - 1]
            found.setdefault(name, []).append(pattern)
            bits ^= lowest
        return found
