"""Who holds how much: the entries of each tenant and category, and which of them goes first.

Values age in two levels, so that a room that churns does not age its neighbours: an entry's value is the shard's base
plus its room's base at its last touch plus its worth. The room's base grows when its own cap evicts, the shard's when
its total does; either to where what is admitted next starts from the value that was evicted. Within a room the least
value goes first, between rooms the least value less the room's base; of equals the one not used for longer.

Heaps are lazy: a place in one is a lower bound, put right when it comes up, so that a use costs nothing until then and
a decision O(log n). Places are only pushed where something sank: a new entry, a base that grew, a priority lowered.
The `paper` order changes with time alone, which no heap can hold: each of its decisions looks at every entry.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from refrain.schemas.documents import Aging, Entry, EntryStats
from refrain.schemas.policy import Eviction, Policy
from refrain.streams.messaging.ids import parts_of_room_id, room_id
from refrain.streams.shard.eviction.usage import NUMBER_MASK, Usage, last_of, place
from refrain.streams.shard.eviction.value import ADMITTED, gdsf_value, latency_of, size_of, tokens_of

WHOLE_SHARD = "*"
"""The id of the shard's own base."""
SLACK = 64
"""Places that a heap may hold beyond twice what it needs."""
Rows = npt.NDArray[np.int64]


class Admissions(NamedTuple):
    """When each row's entry was admitted, and the shard's time; milliseconds."""

    admitted_at_ms: npt.NDArray[np.int64]
    now_ms: int


class Quota:
    """The entries of one tenant and category."""

    __slots__ = ("aging", "category", "count", "guaranteed", "heap", "number", "placed", "priority", "tenant")

    def __init__(self, number: int, tenant: str, category: str) -> None:
        self.number = number
        self.tenant = tenant
        self.category = category
        self.count = 0
        self.guaranteed = 0
        self.priority = 1.0
        self.aging = Aging(base=0.0)
        self.heap: list[int] = []
        """Places of its rows."""
        self.placed: int | None = None
        """The room's own place among the rooms; None while it has none."""

    @property
    def id(self) -> str:
        """Its id in the column `aging`."""
        return room_id(self.tenant, self.category)


class Quotas:
    """All rooms of a shard."""

    def __init__(self) -> None:
        self.uses = Usage()
        self.base = 0.0
        """The shard's."""
        self._quotas: list[Quota] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._order: list[int] = []
        """Places of the rooms: of the least entry of each."""
        self._policy: Policy | None = None
        self._kind = Eviction.VALUE
        self._cost = "latency"

    # -- asking ---------------------------------------------------------------------------------------

    def count(self, tenant: str, category: str) -> int:
        """How many entries the tenant holds in the category."""
        number = self._numbers.get((tenant, category))
        return 0 if number is None else self._quotas[number].count

    def counts(self) -> dict[tuple[str, str], int]:
        """How many entries each tenant holds in each category."""
        return {key: self._quotas[number].count for key, number in self._numbers.items()}

    @property
    def places(self) -> int:
        """Places in all heaps: at most twice the entries and rooms, and SLACK a heap."""
        return len(self._order) + sum(len(room.heap) for room in self._quotas)

    def all(self) -> list[Quota]:
        """All rooms, in the order of their ids."""
        return sorted(self._quotas, key=lambda room: room.id)

    def numbers(self, tenant: str | None, category: str | None) -> list[int]:
        """The numbers of the rooms of a tenant or category, where given."""
        return [r.number for r in self._quotas if tenant in (None, r.tenant) and category in (None, r.category)]

    def of(self, row: int) -> Quota:
        """The room of a row."""
        return self._quotas[int(self.uses.room[row])]

    def value_if_used(self, row: int) -> float:
        """The value that the entry of a row has from its next use on."""
        uses, room = self.uses, self.of(row)
        frequency = float(uses.hits[row]) + 1.0 + ADMITTED
        return self._valued(room, frequency, float(uses.cost(self._cost)[row]), float(uses.size[row]))

    def value_if_admitted(self, entry: Entry) -> float:
        """The value that an entry has from its admission on."""
        room = self._room(entry.tenant, entry.category)
        cost = tokens_of(entry) if self._cost == "tokens" else latency_of(entry)
        return self._valued(room, ADMITTED, float(cost), float(size_of(entry)))

    def victim(self, tenant: str, category: str, admissions: Admissions) -> int | None:
        """The row that goes first of one room, None when it is empty."""
        number = self._numbers.get((tenant, category))
        if number is None:
            return None
        if self._kind is Eviction.PAPER:
            return self._scan([self._quotas[number]], admissions)
        return self._least(self._quotas[number])

    def victim_of_shard(self, tenant: str, category: str, admissions: Admissions) -> int | None:
        """The row that goes first of all rooms that hold more than their guaranteed part, None without any.

        The room of this tenant and category counts as holding one more: the one that is to come.
        """
        own = self._room(tenant, category)
        if self._kind is Eviction.PAPER:
            over = [room for room in self._quotas if room.count + (room is own) > room.guaranteed]
            return self._scan(over, admissions)
        candidates = [room for room in (self._first_room(),) if room is not None]
        if own.count >= max(own.guaranteed, 1):
            candidates.append(own)
        if not candidates:
            return None
        return self._least(min(candidates, key=lambda room: self._standing(room) or 0))

    def aged_by(self, row: int, *, whole_shard: bool) -> tuple[str, Aging] | None:
        """What evicting a row makes of the base of its room, or of the whole shard: id and record; None: nothing."""
        if self._kind is not Eviction.VALUE:
            return None
        room, value = self.of(row), float(self.uses.value[row])
        before, other = (self.base, room.aging.base) if whole_shard else (room.aging.base, self.base)
        if value - other <= before:
            return None
        if whole_shard:
            return WHOLE_SHARD, Aging(base=value - other)
        return room.id, room.aging.model_copy(update={"base": value - other})

    # -- changing -------------------------------------------------------------------------------------

    def enter(self, row: int, entry: Entry, stats: EntryStats | None) -> None:
        """An entry came in."""
        room = self._room(entry.tenant, entry.category)
        self.uses.enter(row, room.number, entry, stats)
        room.count += 1
        self._place(room, row)
        self._sink(room)

    def leave(self, row: int) -> None:
        """An entry left; its place in the heap is dropped when it comes up."""
        room = self.of(row)
        room.count -= 1
        self.uses.leave(row)
        self._trim(room)

    def use(self, row: int, stats: EntryStats) -> None:
        """An entry was served."""
        lowered = stats.value < self.uses.value[row]
        self.uses.hits[row] = stats.hits
        self.uses.last[row] = stats.last_offset
        self.uses.value[row] = stats.value
        if lowered and self._kind is Eviction.VALUE:
            room = self.of(row)
            self._place(room, row)
            self._sink(room)

    def age(self, id_: str, aging: Aging) -> None:
        """A base moved; or, where `since` did, all values of a room's entries were made anew."""
        if id_ == WHOLE_SHARD:
            self.base = aging.base
            return
        tenant, category = parts_of_room_id(id_)
        room = self._room(tenant, category)
        anew = aging.since > room.aging.since
        room.aging = aging
        if anew:
            self._value_anew(room)
            self._build(room)
        self._sink(room)

    def follow(self, policy: Policy) -> None:
        """A policy came into force. Another `eviction` builds all heaps anew: about 1 ms a thousand entries."""
        self._policy = policy
        self._cost = policy.limits.cost
        changed = policy.limits.eviction is not self._kind
        self._kind = policy.limits.eviction
        self._order = []
        for room in self._quotas:
            self._govern(room)
            if changed:
                self._build(room)
            room.placed = None
            self._sink(room)

    # -- values ---------------------------------------------------------------------------------------

    def _valued(self, room: Quota, frequency: float, cost: float, size: float) -> float:
        return (self.base + room.aging.base) + gdsf_value(frequency, cost, size, room.priority)

    def _value_anew(self, room: Quota) -> None:
        rows = self._rows(room)
        rows = rows[self.uses.last[rows] < room.aging.since]
        frequency = self.uses.hits[rows].astype(np.float64) + ADMITTED
        cost = self.uses.cost(self._cost)[rows].astype(np.float64)
        size = self.uses.size[rows].astype(np.float64)
        self.uses.value[rows] = gdsf_value(frequency, cost, size, room.aging.priority)

    def _keys(self, rows: Rows) -> npt.NDArray[np.float64]:
        if self._kind is Eviction.VALUE:
            return self.uses.value[rows]
        if self._kind is Eviction.LFU:
            return self.uses.hits[rows].astype(np.float64)
        return np.zeros(len(rows))

    def _key(self, row: int) -> float:
        if self._kind is Eviction.VALUE:
            return float(self.uses.value[row])
        return float(self.uses.hits[row]) if self._kind is Eviction.LFU else 0.0

    # -- heaps ----------------------------------------------------------------------------------------

    def _least(self, room: Quota) -> int | None:
        heap, uses = room.heap, self.uses
        while heap:
            item = heap[0]
            row, last = item & NUMBER_MASK, last_of(item)
            if uses.placed[row] != last:
                heapq.heappop(heap)
            elif uses.last[row] != last:
                heapq.heapreplace(heap, self._item(row))
            else:
                return row
        return None

    def _item(self, row: int) -> int:
        last = int(self.uses.last[row])
        self.uses.placed[row] = last
        return place(self._key(row), last, row)

    def _place(self, room: Quota, row: int) -> None:
        heapq.heappush(room.heap, self._item(row))
        self._trim(room)

    def _trim(self, room: Quota) -> None:
        if len(room.heap) > 2 * room.count + SLACK:
            self._build(room)

    def _build(self, room: Quota) -> None:
        rows = self._rows(room)
        last = self.uses.last[rows]
        self.uses.placed[rows] = last
        keys = self._keys(rows).tolist()
        room.heap = [place(*each) for each in zip(keys, last.tolist(), rows.tolist(), strict=True)]
        heapq.heapify(room.heap)

    def _rows(self, room: Quota) -> Rows:
        found = np.array([(item & NUMBER_MASK, last_of(item)) for item in room.heap], dtype=np.int64).reshape(-1, 2)
        rows: Rows = np.unique(found[self.uses.placed[found[:, 0]] == found[:, 1], 0])
        return rows

    # -- between rooms --------------------------------------------------------------------------------

    def _first_room(self) -> Quota | None:
        while self._order:
            item = self._order[0]
            room = self._quotas[item & NUMBER_MASK]
            if room.placed != item:
                heapq.heappop(self._order)
                continue
            standing = self._standing(room)
            if standing is None or room.count <= room.guaranteed:
                # Nobody may take from it; it comes back when something enters it.
                heapq.heappop(self._order)
                room.placed = None
            elif standing != item:
                heapq.heapreplace(self._order, standing)
                room.placed = standing
            else:
                return room
        return None

    def _standing(self, room: Quota) -> int | None:
        row = self._least(room)
        if row is None:
            return None
        key = self._key(row)
        if self._kind is Eviction.VALUE:
            key = max(0.0, key - room.aging.base)
        return place(key, int(self.uses.last[row]), room.number)

    def _sink(self, room: Quota) -> None:
        """Put a room where its least entry stands now, if that is further ahead than where it stands."""
        standing = self._standing(room)
        if standing is None or (room.placed is not None and room.placed <= standing):
            return
        room.placed = standing
        heapq.heappush(self._order, standing)
        if len(self._order) > 2 * len(self._quotas) + SLACK:
            self._order = [room.placed for room in self._quotas if room.placed is not None]
            heapq.heapify(self._order)

    # -- inside ---------------------------------------------------------------------------------------

    def _scan(self, quotas: list[Quota], admissions: Admissions) -> int | None:
        """Priority x hits / age, the least of all entries of the rooms (arXiv 2510.26835, section on eviction)."""
        priority = np.full(len(self._quotas) + 1, -1.0)
        priority[[room.number for room in quotas]] = [room.priority for room in quotas]
        by_row = priority[self.uses.room]  # freed rows stand in room -1, which is the last and in nobody's list
        rows = np.flatnonzero(by_row >= 0)
        if not len(rows):
            return None
        age_ms = np.maximum(1, admissions.now_ms - admissions.admitted_at_ms[rows])
        scores = by_row[rows] * self.uses.hits[rows] / age_ms
        least = rows[scores == scores.min()]
        return int(least[np.argmin(self.uses.last[least])])

    def _room(self, tenant: str, category: str) -> Quota:
        number = self._numbers.get((tenant, category))
        if number is None:
            number = self._numbers[(tenant, category)] = len(self._quotas)
            self._quotas.append(Quota(number, tenant, category))
            self._govern(self._quotas[number])
        return self._quotas[number]

    def _govern(self, room: Quota) -> None:
        policy = None if self._policy is None else self._policy.of(room.category)
        room.guaranteed = 0 if policy is None else policy.quota.guaranteed
        room.priority = 1.0 if policy is None else policy.priority
