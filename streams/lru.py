"""Least-recently-used caches: of values by key, of what texts come to, and of ids."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

IDS_MAX = 100_000


class LruCache(Generic[K, V]):
    """An LRU cache of at most `room` values."""

    def __init__(self, room: int) -> None:
        self._values: OrderedDict[K, V] = OrderedDict()
        self._room = room

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: K) -> bool:
        if key not in self._values:
            return False
        self._values.move_to_end(key)
        return True

    def get(self, key: K) -> V | None:
        """The cached value of a key, None without one; the key is used now."""
        return self._values[key] if key in self else None

    def put(self, key: K, value: V) -> None:
        """Cache a value; evicts the least recently used one when there is no more room."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._room:
            self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        """Remove a key, if it is cached."""
        self._values.pop(key, None)

    def clear(self) -> None:
        """Remove every key."""
        self._values.clear()


class TextCache(Generic[V]):
    """An LRU cache of what texts come to, of at most `chars_max` characters of text together.

    A text that is longer by itself takes the place of all others until the next one.
    """

    def __init__(self, chars_max: int) -> None:
        self._values: OrderedDict[str, V] = OrderedDict()
        self._chars_max = chars_max
        self.chars = 0
        """Characters of all texts that are cached."""

    def __len__(self) -> int:
        return len(self._values)

    def get(self, text: str) -> V | None:
        """The cached value of a text, None without one; the text is used now."""
        found = self._values.get(text)
        if found is not None:
            self._values.move_to_end(text)
        return found

    def put(self, text: str, value: V) -> None:
        """Cache the value of a text that has none; evicts the least recently used ones until there is room."""
        self._values[text] = value
        self.chars += len(text)
        while self.chars > self._chars_max and len(self._values) > 1:
            self.chars -= len(self._values.popitem(last=False)[0])


class RecentIds:
    """An LRU set of at most `ids_max` ids, to recognise repeats by; a look-up counts as a use."""

    def __init__(self, ids_max: int = IDS_MAX) -> None:
        self._ids: LruCache[str, None] = LruCache(ids_max)

    def __contains__(self, name: str) -> bool:
        return name in self._ids

    def add(self, name: str) -> None:
        """Add an id; evicts the least recently used one when there is no more room."""
        self._ids.put(name, None)
