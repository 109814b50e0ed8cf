"""Evicts to make room for an answer: the entry it replaces, then by its quota's cap, then by the shard's total.

Guaranteed room is never taken by others: a shard that is full of it admits an answer only in exchange for one of the
same quota.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from refrain.schemas.base import QuestionKey
from refrain.schemas.documents import Aging, Entry, TableMode
from refrain.schemas.policy import Policy
from refrain.streams.shard.columns import AGING, ENTRIES, TABLES, Change, entry_id
from refrain.streams.shard.counts import Count, Evicted, evicted
from refrain.streams.shard.eviction.quotas import WHOLE_SHARD
from refrain.streams.shard.index.entries import IndexedEntry, namespace_of_key, text_key
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


def evict_for(shard: Shard, key: QuestionKey, policy: Policy) -> tuple[bool, list[Count]]:
    """Evict for the answer to a question; returns whether it may be admitted, and what to count.

    Changes the shard: nothing that may fail should come after it. When it may not be admitted, nothing was evicted.
    """
    tenant, category = key.tenant, key.category
    entries, evictions = shard.entries, _Evictions(shard)
    same = entries.exact(namespace_of_key(key), text_key(key.space, category, key.text_digest))
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


def entering(shard: Shard, entry: Entry, policy: Policy) -> list[Change]:
    """The changes by which an entry enters, when others were evicted for it; a large namespace gets its HNSW."""
    space = namespace_of_key(entry)
    entry = entry.model_copy(update={"value": shard.entries.value_if_admitted(entry)})
    changes = [ENTRIES.put(entry_id(entry.id), entry)]
    scans = entry.vector is not None and shard.entries.namespaces.mode(space) == "exact"
    if scans and shard.entries.namespaces.table_size(space) + 1 >= policy.limits.hnsw_from:
        changes.append(TABLES.put(space.hex(), TableMode(search="ann")))
    return changes


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
