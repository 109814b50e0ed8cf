"""Ids seen lately, in bounded room."""

from __future__ import annotations

from collections import OrderedDict

IDS_MAX = 100_000


class Recent:
    """The last `ids_max` ids that were added, those looked up last kept longest."""

    def __init__(self, ids_max: int = IDS_MAX) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._ids_max = ids_max

    def __contains__(self, name: str) -> bool:
        if name not in self._ids:
            return False
        self._ids.move_to_end(name)
        return True

    def add(self, name: str) -> None:
        """Remember an id; the oldest goes when there is no more room."""
        self._ids[name] = None
        self._ids.move_to_end(name)
        if len(self._ids) > self._ids_max:
            self._ids.popitem(last=False)
