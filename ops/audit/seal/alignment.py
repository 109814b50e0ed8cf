"""Aligns the records of a log with those that were sealed, and names each difference for what it is.

Records are matched by their prints: what is alike at both ends, then what stands once on both sides and in the same
order (the longest increasing sequence), then what is alike before and behind that. What is left on both sides has
another place; what is left at the same offset has another content; the rest is on one side alone. It takes n log n
steps.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from refrain.ops.audit.seal.chain import Place

Pair = tuple[int, int]
"""Indices of a sealed record and of the live one that it is."""


class Change(StrEnum):
    """Kind of a difference of a log: a closed list."""

    DELETED = "deleted"
    INSERTED = "inserted"
    CHANGED = "changed"
    """Another timestamp, key, value or header."""
    REORDERED = "reordered"
    """The same record, before or behind others."""
    RENUMBERED = "renumbered"
    """The same records in the same order, at other offsets, without one that was put in or taken away."""
    TRUNCATED = "truncated"
    """The end of what was sealed is gone, and nothing follows."""


@dataclass(frozen=True)
class Difference:
    """Neighbouring records with the same difference."""

    change: Change
    first: int
    """The offset of the first as it was sealed; of what was inserted, as it is."""
    last: int
    records: int
    to: int | None = None
    """Where the first stands, when it is reordered or renumbered."""
    exact: bool = True
    """Whether each of the records differs; else some of them do."""


class Region(NamedTuple):
    """Neighbouring records that are not proven to be the sealed ones; what is between two regions is proven."""

    sealed: list[Place]
    live: list[Place]


class Item(NamedTuple):
    """A record of a region: `at` counts those of its side, and leaves one out between two regions."""

    at: int
    place: Place


class Found(NamedTuple):
    """A difference of one record; neighbours have neighbouring `at`."""

    change: Change
    item: Item
    to: int | None = None


class Gap(NamedTuple):
    """Unmatched records between two matched ones."""

    sealed: list[Item]
    live: list[Item]
    shift: int
    """By how much the match before it stands at another offset."""
    final: bool = False
    """Whether it is behind the last match of a log: what was put in there has come after the seal."""


def differences(regions: Sequence[Region], *, at_end: bool) -> list[Difference]:
    """The differences in the order of offsets. With `at_end` the last region holds the end of what was sealed.

    What follows it in `live` came after the seal then.
    """
    gaps: list[Gap] = []
    found: list[Found] = []
    base = base_live = 0
    for region in regions:
        sealed = [Item(base + at, place) for at, place in enumerate(region.sealed)]
        live = [Item(base_live + at, place) for at, place in enumerate(region.live)]
        pairs = _matched(region.sealed, region.live)
        gaps += _gaps(pairs, sealed, live)
        found += _renumbered(pairs, sealed, live)
        base, base_live = base + len(sealed) + 1, base_live + len(live) + 1
    if at_end and gaps and _is_last(gaps[-1], base - 2, base_live - 2):
        gaps[-1] = gaps[-1]._replace(final=True)
    found += _unmatched(gaps)
    return sorted(_merged(found), key=lambda each: each.first)


def _is_last(gap: Gap, last: int, last_live: int) -> bool:
    """Whether no match follows: the gap ends with the last record of one side."""
    return any(items and items[-1].at == end for items, end in ((gap.sealed, last), (gap.live, last_live)))


def _matched(sealed: Sequence[Place], live: Sequence[Place]) -> list[Pair]:
    """The pairs of records that are the same and in the same order."""
    front, back = _alike(sealed, live, range(len(sealed)), range(len(live)))
    left, right = range(len(front), len(sealed) - len(back)), range(len(front), len(live) - len(back))
    out = list(front)
    before = left.start - 1, right.start - 1
    for anchor in [*_anchors(sealed, live, left, right), (left.stop, right.stop)]:
        begin, end = _alike(sealed, live, range(before[0] + 1, anchor[0]), range(before[1] + 1, anchor[1]))
        out += (*begin, *end)
        if anchor != (left.stop, right.stop):
            out.append(anchor)
        before = anchor
    return out + back


def _anchors(sealed: Sequence[Place], live: Sequence[Place], left: range, right: range) -> list[Pair]:
    """The longest sequence of records that stand once on each side, in order on both.

    Of several as long that one in which most have kept their offsets.
    """
    here, there = _once(sealed, left), _once(live, right)
    pairs = [(at, there[each]) for each, at in here.items() if each in there]
    longest = _Longest(len(right))
    before = [
        longest.add(number, at - right.start, len(pairs) + 1 + (sealed[own].offset == live[at].offset))
        for number, (own, at) in enumerate(pairs)
    ]
    out = []
    follow = longest.best(len(right))
    while follow >= 0:
        out.append(pairs[follow])
        follow = before[follow]
    return out[::-1]


class _Longest:
    """The heaviest increasing sequence of positions so far, by its last position (a tree of prefix maxima)."""

    def __init__(self, size: int) -> None:
        self._tree = [(0, -1)] * (size + 1)

    def best(self, position: int) -> int:
        """The number of the last element of the heaviest sequence that ends before the position; -1 for none."""
        return self._best(position)[1]

    def add(self, number: int, position: int, weight: int) -> int:
        """Add an element behind the heaviest sequence that ends before it. Returns the number of the one before it."""
        total, before = self._best(position)
        at = position + 1
        while at < len(self._tree):
            self._tree[at] = max(self._tree[at], (total + weight, number))
            at += at & -at
        return before

    def _best(self, position: int) -> tuple[int, int]:
        found = (0, -1)
        while position > 0:
            found = max(found, self._tree[position])
            position -= position & -position
        return found


def _once(places: Sequence[Place], within: range) -> dict[bytes, int]:
    """The index of each print that stands once, in order."""
    counts = Counter(places[at].print for at in within)
    return {places[at].print: at for at in within if counts[places[at].print] == 1}


def _alike(sealed: Sequence[Place], live: Sequence[Place], left: range, right: range) -> tuple[list[Pair], list[Pair]]:
    """What is alike at the beginning of two ranges, and at their end."""
    size = min(len(left), len(right))
    head = next((n for n in range(size) if sealed[left[n]].print != live[right[n]].print), size)
    rest = size - head
    tail = next((n for n in range(rest) if sealed[left[-1 - n]].print != live[right[-1 - n]].print), rest)
    front = list(zip(left[:head], right[:head], strict=True))
    return front, list(zip(left[len(left) - tail :], right[len(right) - tail :], strict=True))


def _gaps(pairs: Sequence[Pair], sealed: Sequence[Item], live: Sequence[Item]) -> Iterator[Gap]:
    shift, at, at_live = 0, 0, 0
    for left, right in chain(pairs, [(len(sealed), len(live))]):
        if left > at or right > at_live:
            yield Gap(list(sealed[at:left]), list(live[at_live:right]), shift)
        if left < len(sealed):
            shift = live[right].place.offset - sealed[left].place.offset
        at, at_live = left + 1, right + 1


def _renumbered(pairs: Sequence[Pair], sealed: Sequence[Item], live: Sequence[Item]) -> Iterator[Found]:
    """The matched records whose offset nothing explains that was put in, taken away, or left where it was."""
    explained, before = 0, (-1, -1)
    for left, right in pairs:
        to = live[right].place.offset
        shift = to - sealed[left].place.offset
        if (left, right) != (before[0] + 1, before[1] + 1):
            explained = shift
        if shift != explained:
            yield Found(Change.RENUMBERED, sealed[left], to)
        before = left, right


def _unmatched(gaps: Sequence[Gap]) -> Iterator[Found]:
    moved = _moved(gaps)
    arrived = {to.at for to in moved.values()}
    for gap in gaps:
        for item in gap.sealed:
            if item.at in moved:
                yield Found(Change.REORDERED, item, moved[item.at].place.offset)
        ours = {item.place.offset: item for item in gap.sealed if item.at not in moved}
        theirs = {item.place.offset - gap.shift: item for item in gap.live if item.at not in arrived}
        for offset in ours.keys() & theirs.keys():
            yield Found(Change.CHANGED, ours.pop(offset))
            del theirs[offset]
        gone = Change.TRUNCATED if gap.final and not gap.live else Change.DELETED
        yield from (Found(gone, item) for item in ours.values())
        if not gap.final:
            yield from (Found(Change.INSERTED, item) for item in theirs.values())


def _moved(gaps: Sequence[Gap]) -> dict[int, Item]:
    """The unmatched records that stand elsewhere: by `at` of the sealed one the live one."""
    elsewhere: dict[bytes, list[Item]] = defaultdict(list)
    for gap in gaps:
        for item in reversed(gap.live):
            elsewhere[item.place.print].append(item)
    unmatched = (item for gap in gaps for item in gap.sealed)
    return {item.at: elsewhere[item.place.print].pop() for item in unmatched if elsewhere.get(item.place.print)}


def _merged(found: Iterable[Found]) -> list[Difference]:
    """Neighbours with the same difference as one."""
    out: list[Difference] = []
    before: Found | None = None
    for one in sorted(found, key=lambda each: (each.change, each.item.at)):
        offset = one.item.place.offset
        if before is not None and _neighbours(before, one):
            out[-1] = replace(out[-1], last=offset, records=out[-1].records + 1)
        else:
            out.append(Difference(one.change, offset, offset, 1, one.to))
        before = one
    return out


def _neighbours(left: Found, right: Found) -> bool:
    if (left.change, left.item.at + 1) != (right.change, right.item.at):
        return False
    return left.change is not Change.REORDERED or left.to is None or left.to + 1 == right.to
