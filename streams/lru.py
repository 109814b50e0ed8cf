"""What was seen lately, in bounded room."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

IDS_MAX = 100_000


class LruCache(Generic[K, V]):
    """The last `room` values that were put, those got last kept longest."""

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
        """The value of a key, None when it is not kept."""
        return self._values[key] if key in self else None

    def put(self, key: K, value: V) -> None:
        """Keep a value; the oldest goes when there is no more room."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._room:
            self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        """Keep it no longer, if it is kept."""
        self._values.pop(key, None)

    def clear(self) -> None:
        """Keep nothing."""
        self._values.clear()


class RecentIds:
    """The last `ids_max` ids that were added, those looked up last kept longest."""

    def __init__(self, ids_max: int = IDS_MAX) -> None:
        self._ids: LruCache[str, None] = LruCache(ids_max)

    def __contains__(self, name: str) -> bool:
        return name in self._ids

    def add(self, name: str) -> None:
        """Remember an id; the oldest goes when there is no more room."""
        self._ids.put(name, None)
