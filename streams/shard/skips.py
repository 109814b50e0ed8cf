"""Skips: journal records that a fold does not decide, by their offsets. Pure.

They are rows of `documents`, written before the fold comes to the records. A fold that begins earlier reads
them first (`skips_of`), so that every fold of a journal skips the same.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import Literal

from refrain.schemas.documents import Skip
from refrain.streams.messaging.ids import column_id, parse_column_id

What = Literal["questions", "records"]


class Skips:
    """The skips of a shard."""

    def __init__(self) -> None:
        self._spans: dict[What, list[tuple[int, int]]] = {"questions": [], "records": []}
        """First offsets and the offsets behind the last ones, without overlap, in order."""
        self._rows: dict[tuple[int, What], Skip] = {}
        self._end = 0

    def put(self, first: int, skip: Skip) -> None:
        """Skip what is `skip.what` from the offset `first` on."""
        known = self._rows.get((first, skip.what))
        if known is not None and known.to_offset >= skip.to_offset:
            return
        self._rows[first, skip.what] = skip
        self._end = max(self._end, skip.to_offset)
        self._spans[skip.what] = _with(self._spans[skip.what], (first, skip.to_offset))

    def of(self, offset: int) -> What | None:
        """What is skipped at this journal offset: `records` whatever it is, or `questions`; None: nothing."""
        if offset >= self._end:
            return None
        if _covers(self._spans["records"], offset):
            return "records"
        return "questions" if _covers(self._spans["questions"], offset) else None

    def row(self, first: int, what: What) -> Skip | None:
        """The skip of that kind that begins at this offset."""
        return self._rows.get((first, what))

    def rows(self) -> list[tuple[int, Skip]]:
        """All skips, with their first offsets."""
        return [(first, skip) for (first, _), skip in self._rows.items()]

    def behind(self, offset: int) -> int:
        """The first offset, from `offset` on, that is not skipped as a question."""
        for first, end in self._spans["questions"]:
            if first <= offset < end:
                offset = end
        return offset


def skips_of(rows: Iterable[tuple[int, Skip]]) -> Skips:
    """The skips of these rows."""
    skips = Skips()
    for first, skip in rows:
        skips.put(first, skip)
    return skips


def skip_id(first: int, what: What) -> str:
    """The id of a skip in its column."""
    return column_id(first, what)


def first_of(id_: str) -> int:
    """The first offset of a skip, by its id. Raises ValueError."""
    return parse_column_id(id_)[0]


def _covers(spans: list[tuple[int, int]], offset: int) -> bool:
    at = bisect_right(spans, offset, key=lambda span: span[0]) - 1
    return at >= 0 and offset < spans[at][1]


def _with(spans: list[tuple[int, int]], new: tuple[int, int]) -> list[tuple[int, int]]:
    apart = [span for span in spans if span[1] < new[0] or span[0] > new[1]]
    touching = [span for span in spans if not (span[1] < new[0] or span[0] > new[1])]
    insort(apart, (min([new[0], *(first for first, _ in touching)]), max([new[1], *(end for _, end in touching)])))
    return apart
