"""Making room for an answer: what it replaces, what its room's cap pushes out, what the shard's total does.

Guaranteed room is never taken by others: a shard that is full of it keeps an answer only in exchange for one of the
same room.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from refrain.schemas.documents import Aging
from refrain.schemas.policy import Policy
from refrain.streams.shard.columns import AGING, Change
from refrain.streams.shard.counts import Count, Evicted, evicted
from refrain.streams.shard.eviction.quotas import WHOLE_SHARD
from refrain.streams.shard.in_flight import OpenFlight
from refrain.streams.shard.index.entries import IndexedEntry
from refrain.streams.shard.removal import departure
from refrain.streams.shard.state import Shard

EVICTED_MAX = 64
"""Entries that one admission may evict; a cap or total that was lowered is reached with the next ones."""


@dataclass(slots=True)
class _Leaving:
    shard: Shard
    counted: list[Count] = field(default_factory=list)

    @property
    def may(self) -> bool:
        return len(self.counted) < EVICTED_MAX

    def go(self, seen: IndexedEntry, why: Evicted) -> None:
        entries = self.shard.entries
        aged = None if why is Evicted.REPLACED else entries.aged_by(seen, whole_shard=why is Evicted.TOTAL)
        self.counted.append(evicted(entries.category_of(seen), why))
        self.shard.apply([*departure(self.shard, seen), *([] if aged is None else [AGING.put(*aged)])])


def make_room(shard: Shard, open_flight: OpenFlight, policy: Policy) -> tuple[bool, list[Count]]:
    """Evict what must go for the flight's answer; whether it may come in, and what to count.

    Changes the shard: nothing that may fail should come after it. When it may not come in, nothing was evicted.
    """
    tenant, category = open_flight.flight.tenant, open_flight.flight.category
    entries, leaving = shard.entries, _Leaving(shard)
    same = entries.exact(open_flight.space, open_flight.text)
    if same is not None:
        leaving.go(same, Evicted.REPLACED)
    known = policy.of(category)
    cap = policy.limits.entries_max if known is None else known.quota.cap
    while leaving.may and entries.room(tenant, category) >= cap:
        first = entries.victim(tenant, category, shard.time_ms)
        if first is None:
            break
        leaving.go(first, Evicted.CAP)
    while leaving.may and len(entries) >= policy.limits.entries_max:
        first = entries.victim_of_shard(tenant, category, shard.time_ms)
        if first is None:
            break
        leaving.go(first, Evicted.TOTAL)
    if len(entries) >= policy.limits.entries_max and not leaving.counted:
        first = entries.victim(tenant, category, shard.time_ms)
        if first is None:
            return False, []
        leaving.go(first, Evicted.TOTAL)
    return True, leaving.counted


def valued_anew(shard: Shard, policy: Policy, offset: int) -> list[Change]:
    """The changes, to follow that of the policy, when it counts another cost: milliseconds and tokens do not compare.

    All values are made anew from what is known of each entry, from bases of 0: one record a room, and about 2 ms a
    thousand entries.
    """
    if shard.policy is None or shard.policy.policy.limits.cost == policy.limits.cost:
        return []
    changes = [AGING.put(WHOLE_SHARD, Aging(base=0.0))]
    for room in shard.entries.all_rooms():
        known = policy.of(room.category)
        if room.count or room.aging.base:
            aging = Aging(base=0.0, since=offset, priority=1.0 if known is None else known.priority)
            changes.append(AGING.put(room.id, aging))
    return changes
