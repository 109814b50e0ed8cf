"""Evicts to make room for an answer: the entry it replaces, then by its quota's cap, then by the shard's total.

Guaranteed room is never taken by others: a shard that is full of it admits an answer only in exchange for one of the
same quota.
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
class _Evictions:
    shard: Shard
    counted: list[Count] = field(default_factory=list)

    @property
    def has_budget(self) -> bool:
        return len(self.counted) < EVICTED_MAX

    def evict(self, indexed: IndexedEntry, why: Evicted) -> None:
        entries = self.shard.entries
        aged = None if why is Evicted.REPLACED else entries.aged_by(indexed, whole_shard=why is Evicted.TOTAL)
        self.counted.append(evicted(entries.category_of(indexed), why))
        self.shard.apply([*departure(self.shard, indexed), *([] if aged is None else [AGING.put(*aged)])])


def evict_for(shard: Shard, open_flight: OpenFlight, policy: Policy) -> tuple[bool, list[Count]]:
    """Evict for the flight's answer; returns whether it may be admitted, and what to count.

    Changes the shard: nothing that may fail should come after it. When it may not be admitted, nothing was evicted.
    """
    tenant, category = open_flight.flight.tenant, open_flight.flight.category
    entries, evictions = shard.entries, _Evictions(shard)
    same = entries.exact(open_flight.space, open_flight.text)
    if same is not None:
        evictions.evict(same, Evicted.REPLACED)
    known = policy.of(category)
    cap = policy.limits.entries_max if known is None else known.quota.cap
    while evictions.has_budget and entries.quota_count(tenant, category) >= cap:
        first = entries.victim(tenant, category, shard.time_ms)
        if first is None:
            break
        evictions.evict(first, Evicted.CAP)
    while evictions.has_budget and len(entries) >= policy.limits.entries_max:
        first = entries.victim_of_shard(tenant, category, shard.time_ms)
        if first is None:
            break
        evictions.evict(first, Evicted.TOTAL)
    if len(entries) >= policy.limits.entries_max and not evictions.counted:
        first = entries.victim(tenant, category, shard.time_ms)
        if first is None:
            return False, []
        evictions.evict(first, Evicted.TOTAL)
    return True, evictions.counted


def revaluation(shard: Shard, policy: Policy, offset: int) -> list[Change]:
    """Revaluation of all entries when a policy counts another cost: the changes, to follow that of the policy.

    Milliseconds and tokens do not compare: values start again from bases of 0. One record a quota bucket, and about
    2 ms a thousand entries.
    """
    if shard.policy is None or shard.policy.policy.limits.cost == policy.limits.cost:
        return []
    changes = [AGING.put(WHOLE_SHARD, Aging(base=0.0))]
    for bucket in shard.entries.quota_buckets():
        known = policy.of(bucket.category)
        if bucket.count or bucket.aging.base:
            aging = Aging(base=0.0, since=offset, priority=1.0 if known is None else known.priority)
            changes.append(AGING.put(bucket.id, aging))
    return changes
