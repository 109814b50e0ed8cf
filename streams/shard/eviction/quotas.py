"""Quotas: how many entries each tenant holds in each category, and the eviction order among them.

The entries of one tenant and category are a bucket. Values age in two levels, so that a bucket that churns does not
age its neighbours: an entry's value is the shard's base plus its bucket's base at its last touch plus its GDSF value.
The bucket's base grows when its own cap evicts, the shard's when its total does; either to where what is admitted next
starts from the value that was evicted. Within a bucket the least value is evicted first, between buckets the least
value less the bucket's base; of equals the one not used for longer.

Heaps are lazy: an item in one is a lower bound, corrected when it reaches the top, so that a use costs nothing until
then and a decision O(log n). Items are only pushed where something sank: a new entry, a base that grew, a
priority lowered.
The `paper` order changes with time alone, which no heap can hold: each of its decisions looks at every entry.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.schemas.documents import Aging, Entry, EntryStats
from refrain.schemas.policy import Policy
from refrain.schemas.policy_limits import Eviction
from refrain.streams.messaging.ids import parse_quota_id, quota_id
from refrain.streams.shard.eviction.usage import NUMBER_MASK, Usage, heap_item, last_of
from refrain.streams.shard.eviction.value import ADMITTED, gdsf_value, latency_of, size_of, tokens_of

WHOLE_SHARD = "*"
"""The id of the shard's own base."""
SLACK = 64
"""Places that a heap may hold beyond twice what it needs."""
Rows = npt.NDArray[np.int64]


class Admissions(NamedTuple):
    """Admission time of each row's entry, and the shard's time; milliseconds."""

    admitted_at_ms: npt.NDArray[np.int64]
    now_ms: int


class QuotaBucket:
    """Quota bucket: the entries of one tenant and category."""

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
        """The bucket's item in the heap of buckets; None while it has none."""

    @property
    def id(self) -> str:
        """Its id in the column `aging`."""
        return quota_id(self.tenant, self.category)


class Quotas:
    """All quota buckets of a shard, and the eviction order within and between them."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.base = 0.0
        """The shard's."""
        self._quotas: list[QuotaBucket] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._order: list[int] = []
        """Heap of the buckets, each by its least entry."""
        self._policy: Policy | None = None
        self._kind = Eviction.VALUE
        self._cost = "latency"

    # -- asking ---------------------------------------------------------------------------------------

    def count(self, tenant: str, category: str) -> int:
        """Number of entries that the tenant holds in the category."""
        number = self._numbers.get((tenant, category))
        return 0 if number is None else self._quotas[number].count

    def counts(self) -> dict[tuple[str, str], int]:
        """Number of entries of each tenant in each category."""
        return {key: self._quotas[number].count for key, number in self._numbers.items()}

    @property
    def places(self) -> int:
        """Places in all heaps: at most twice the entries and buckets, and SLACK a heap."""
        return len(self._order) + sum(len(bucket.heap) for bucket in self._quotas)

    def all(self) -> list[QuotaBucket]:
        """All buckets, in the order of their ids."""
        return sorted(self._quotas, key=lambda bucket: bucket.id)

    def numbers(self, tenant: str | None, category: str | None) -> list[int]:
        """Numbers of the buckets of a tenant or category, where given."""
        return [r.number for r in self._quotas if tenant in (None, r.tenant) and category in (None, r.category)]

    def of(self, row: int) -> QuotaBucket:
        """The bucket of a row."""
        return self._quotas[int(self.usage.bucket[row])]

    def value_if_used(self, row: int) -> float:
        """The value that the entry of a row has from its next use on."""
        usage, bucket = self.usage, self.of(row)
        frequency = float(usage.hits[row]) + 1.0 + ADMITTED
        return self._valued(bucket, frequency, float(usage.cost(self._cost)[row]), float(usage.size[row]))

    def value_if_admitted(self, entry: Entry) -> float:
        """The value that an entry has from its admission on."""
        bucket = self._bucket(entry.tenant, entry.category)
        cost = tokens_of(entry) if self._cost == "tokens" else latency_of(entry)
        return self._valued(bucket, ADMITTED, float(cost), float(size_of(entry)))

    def victim(self, tenant: str, category: str, admissions: Admissions) -> int | None:
        """Eviction victim of one bucket (a row), None when it is empty."""
        number = self._numbers.get((tenant, category))
        if number is None:
            return None
        if self._kind is Eviction.PAPER:
            return self._scan([self._quotas[number]], admissions)
        return self._least(self._quotas[number])

    def victim_of_shard(self, tenant: str, category: str, admissions: Admissions) -> int | None:
        """Eviction victim (a row) among all buckets that hold more than their guaranteed part, None without any.

        The bucket of this tenant and category counts as holding one more: the one that is to come.
        """
        own = self._bucket(tenant, category)
        if self._kind is Eviction.PAPER:
            over = [bucket for bucket in self._quotas if bucket.count + (bucket is own) > bucket.guaranteed]
            return self._scan(over, admissions)
        candidates = [bucket for bucket in (self._first_bucket(),) if bucket is not None]
        if own.count >= max(own.guaranteed, 1):
            candidates.append(own)
        if not candidates:
            return None
        return self._least(min(candidates, key=lambda bucket: self._bucket_item(bucket) or 0))

    def aged_by(self, row: int, *, whole_shard: bool) -> tuple[str, Aging] | None:
        """Aging by an eviction: id and record of the base that it moves (bucket or whole shard); None: unchanged."""
        if self._kind is not Eviction.VALUE:
            return None
        bucket, value = self.of(row), float(self.usage.value[row])
        before, other = (self.base, bucket.aging.base) if whole_shard else (bucket.aging.base, self.base)
        if value - other <= before:
            return None
        if whole_shard:
            return WHOLE_SHARD, Aging(base=value - other)
        return bucket.id, bucket.aging.model_copy(update={"base": value - other})

    # -- changing -------------------------------------------------------------------------------------

    def enter(self, row: int, entry: Entry, stats: EntryStats | None) -> None:
        """Add an entry to its bucket."""
        bucket = self._bucket(entry.tenant, entry.category)
        self.usage.enter(row, bucket.number, entry, stats)
        bucket.count += 1
        self._push(bucket, row)
        self._advance(bucket)

    def enter_many(self, first: int, entries: Sequence[Entry], stats: Sequence[EntryStats | None]) -> None:
        """Add entries, whose rows stand side by side, to their buckets: for a restore, where nobody asks meanwhile."""
        buckets = [self._bucket(entry.tenant, entry.category) for entry in entries]
        self.usage.enter_many(first, [bucket.number for bucket in buckets], entries, stats)
        rows: dict[int, list[int]] = defaultdict(list)
        for row, bucket in enumerate(buckets, first):
            rows[bucket.number].append(row)
        for number, entered in rows.items():
            bucket = self._quotas[number]
            bucket.count += len(entered)
            self._push_many(bucket, np.array(entered, dtype=np.int64))
            self._advance(bucket)

    def leave(self, row: int) -> None:
        """Remove an entry; its heap item is dropped when it reaches the top."""
        bucket = self.of(row)
        bucket.count -= 1
        self.usage.leave(row)
        self._trim(bucket)

    def use(self, row: int, stats: EntryStats) -> None:
        """Record a use of an entry."""
        lowered = stats.value < self.usage.value[row]
        self.usage.hits[row] = stats.hits
        self.usage.last[row] = stats.last_offset
        self.usage.value[row] = stats.value
        if lowered and self._kind is Eviction.VALUE:
            bucket = self.of(row)
            self._push(bucket, row)
            self._advance(bucket)

    def age(self, id_: str, aging: Aging) -> None:
        """Set an aging base; where `since` changed, revalue all entries of the bucket."""
        if id_ == WHOLE_SHARD:
            self.base = aging.base
            return
        tenant, category = parse_quota_id(id_)
        bucket = self._bucket(tenant, category)
        anew = aging.since > bucket.aging.since
        bucket.aging = aging
        if anew:
            self._value_anew(bucket)
            self._build(bucket)
        self._advance(bucket)

    def follow(self, policy: Policy) -> None:
        """Adopt a policy. Another `eviction` rebuilds all heaps: about 1 ms a thousand entries."""
        self._policy = policy
        self._cost = policy.limits.cost
        changed = policy.limits.eviction is not self._kind
        self._kind = policy.limits.eviction
        self._order = []
        for bucket in self._quotas:
            self._apply_policy(bucket)
            if changed:
                self._build(bucket)
            bucket.placed = None
            self._advance(bucket)

    # -- values ---------------------------------------------------------------------------------------

    def _valued(self, bucket: QuotaBucket, frequency: float, cost: float, size: float) -> float:
        return (self.base + bucket.aging.base) + gdsf_value(frequency, cost, size, bucket.priority)

    def _value_anew(self, bucket: QuotaBucket) -> None:
        rows = self._rows(bucket)
        rows = rows[self.usage.last[rows] < bucket.aging.since]
        frequency = self.usage.hits[rows].astype(np.float64) + ADMITTED
        cost = self.usage.cost(self._cost)[rows].astype(np.float64)
        size = self.usage.size[rows].astype(np.float64)
        self.usage.value[rows] = gdsf_value(frequency, cost, size, bucket.aging.priority)

    def _keys(self, rows: Rows) -> npt.NDArray[np.float64]:
        if self._kind is Eviction.VALUE:
            return self.usage.value[rows]
        if self._kind is Eviction.LFU:
            return self.usage.hits[rows].astype(np.float64)
        return np.zeros(len(rows))

    def _key(self, row: int) -> float:
        if self._kind is Eviction.VALUE:
            return float(self.usage.value[row])
        return float(self.usage.hits[row]) if self._kind is Eviction.LFU else 0.0

    # -- heaps ----------------------------------------------------------------------------------------

    def _least(self, bucket: QuotaBucket) -> int | None:
        heap, usage = bucket.heap, self.usage
        while heap:
            item = heap[0]
            row, last = item & NUMBER_MASK, last_of(item)
            if usage.placed[row] != last:
                heapq.heappop(heap)
            elif usage.last[row] != last:
                heapq.heapreplace(heap, self._row_item(row))
            else:
                return row
        return None

    def _row_item(self, row: int) -> int:
        last = int(self.usage.last[row])
        self.usage.placed[row] = last
        return heap_item(self._key(row), last, row)

    def _push(self, bucket: QuotaBucket, row: int) -> None:
        heapq.heappush(bucket.heap, self._row_item(row))
        self._trim(bucket)

    def _push_many(self, bucket: QuotaBucket, rows: Rows) -> None:
        items, heap = self._items(rows), bucket.heap
        # A push costs the logarithm of the heap, making a heap anew all of it.
        if len(items) * len(heap).bit_length() < len(heap):
            for item in items:
                heapq.heappush(heap, item)
        else:
            heap += items
            heapq.heapify(heap)

    def _trim(self, bucket: QuotaBucket) -> None:
        if len(bucket.heap) > 2 * bucket.count + SLACK:
            self._build(bucket)

    def _build(self, bucket: QuotaBucket) -> None:
        bucket.heap = self._items(self._rows(bucket))
        heapq.heapify(bucket.heap)

    def _items(self, rows: Rows) -> list[int]:
        last = self.usage.last[rows]
        self.usage.placed[rows] = last
        keys = self._keys(rows).tolist()
        return [heap_item(*each) for each in zip(keys, last.tolist(), rows.tolist(), strict=True)]

    def _rows(self, bucket: QuotaBucket) -> Rows:
        found = np.array([(item & NUMBER_MASK, last_of(item)) for item in bucket.heap], dtype=np.int64).reshape(-1, 2)
        rows: Rows = np.unique(found[self.usage.placed[found[:, 0]] == found[:, 1], 0])
        return rows

    # -- between buckets -----------------------------------------------------------------------------

    def _first_bucket(self) -> QuotaBucket | None:
        while self._order:
            item = self._order[0]
            bucket = self._quotas[item & NUMBER_MASK]
            if bucket.placed != item:
                heapq.heappop(self._order)
                continue
            current = self._bucket_item(bucket)
            if current is None or bucket.count <= bucket.guaranteed:
                # Nobody may take from it; it comes back when something enters it.
                heapq.heappop(self._order)
                bucket.placed = None
            elif current != item:
                heapq.heapreplace(self._order, current)
                bucket.placed = current
            else:
                return bucket
        return None

    def _bucket_item(self, bucket: QuotaBucket) -> int | None:
        row = self._least(bucket)
        if row is None:
            return None
        key = self._key(row)
        if self._kind is Eviction.VALUE:
            key = max(0.0, key - bucket.aging.base)
        return heap_item(key, int(self.usage.last[row]), bucket.number)

    def _advance(self, bucket: QuotaBucket) -> None:
        """Move a bucket forward in the eviction order when its least entry now comes earlier."""
        current = self._bucket_item(bucket)
        if current is None or (bucket.placed is not None and bucket.placed <= current):
            return
        bucket.placed = current
        heapq.heappush(self._order, current)
        if len(self._order) > 2 * len(self._quotas) + SLACK:
            self._order = [bucket.placed for bucket in self._quotas if bucket.placed is not None]
            heapq.heapify(self._order)

    # -- inside ---------------------------------------------------------------------------------------

    def _scan(self, quotas: list[QuotaBucket], admissions: Admissions) -> int | None:
        """Priority x hits / age, the least over all entries of the buckets (arXiv 2510.26835, section on eviction)."""
        priority = np.full(len(self._quotas) + 1, -1.0)
        priority[[bucket.number for bucket in quotas]] = [bucket.priority for bucket in quotas]
        by_row = priority[self.usage.bucket]  # freed rows stand in bucket -1, which is the last and in nobody's list
        rows = np.flatnonzero(by_row >= 0)
        if not len(rows):
            return None
        age_ms = np.maximum(1, admissions.now_ms - admissions.admitted_at_ms[rows])
        scores = by_row[rows] * self.usage.hits[rows] / age_ms
        least = rows[scores == scores.min()]
        return int(least[np.argmin(self.usage.last[least])])

    def _bucket(self, tenant: str, category: str) -> QuotaBucket:
        number = self._numbers.get((tenant, category))
        if number is None:
            number = self._numbers[(tenant, category)] = len(self._quotas)
            self._quotas.append(QuotaBucket(number, tenant, category))
            self._apply_policy(self._quotas[number])
        return self._quotas[number]

    def _apply_policy(self, bucket: QuotaBucket) -> None:
        policy = None if self._policy is None else self._policy.of(bucket.category)
        bucket.guaranteed = 0 if policy is None else policy.quota.guaranteed
        bucket.priority = 1.0 if policy is None else policy.priority
