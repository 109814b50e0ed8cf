"""How many entries would go when a policy comes into force: withdrawn, too old, or over a cap. Pure.

What is withdrawn or too old goes at once, by the rule of the shards; what is over a cap when room is needed next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from refrain.schemas.documents import Entry
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.adaptation import lifetime_max
from refrain.streams.shard.columns import ENTRIES

PREFIX = ENTRIES.key("")


class Departures(NamedTuple):
    """Entries of one category that would go, all shards together."""

    category: str
    withdrawn: int = 0
    """The category is not kept any more, or not defined."""
    too_old: int = 0
    over_cap: int = 0

    def __str__(self) -> str:
        parts = ((self.withdrawn, "withdrawn"), (self.too_old, "too old"), (self.over_cap, "over the cap"))
        return f"{self.category}: " + ", ".join(f"{count} {why}" for count, why in parts if count)


class _Held(NamedTuple):
    tenant: str
    category: str
    admitted_at_ms: int


def may_lose(before: Policy | None, after: Policy) -> bool:
    """Whether a change of policy may make entries go at all: only then is it worth to read `documents`."""
    if before is None:
        return False
    shrinks = (_shrinks(policy, after.of(name)) for name, policy in before.categories.items())
    return after.limits.entries_max < before.limits.entries_max or any(shrinks)


def departures(records: Iterable[Record], after: Policy, now_ms: int) -> list[Departures]:
    """What would go of the entries in the records of `documents`, by category in the order of the names."""
    held = _held(records)
    withdrawn: Counter[str] = Counter()
    too_old: Counter[str] = Counter()
    kept: Counter[tuple[int, str, str]] = Counter()
    for (partition, _), entry in held.items():
        policy = after.of(entry.category)
        if policy is None or policy.cache is Cacheable.NEVER:
            withdrawn[entry.category] += 1
        elif now_ms - entry.admitted_at_ms > lifetime_max(policy):
            too_old[entry.category] += 1
        else:
            kept[partition, entry.tenant, entry.category] += 1
    over: Counter[str] = Counter()
    for (_, _, category), count in kept.items():
        policy = after.of(category)
        over[category] += max(0, count - policy.quota.cap) if policy is not None else 0
    names = sorted(withdrawn.keys() | too_old.keys() | {name for name, count in over.items() if count})
    return [Departures(name, withdrawn[name], too_old[name], over[name]) for name in names]


def told(found: Iterable[Departures]) -> list[str]:
    """Lines for people: how many entries go in all, and of each category why."""
    rows = list(found)
    count = sum(each.withdrawn + each.too_old + each.over_cap for each in rows)
    if not count:
        return ["no entry would go"]
    return [f"{count} {'entry' if count == 1 else 'entries'} would go:", *(f"  {each}" for each in rows)]


def _held(records: Iterable[Record]) -> Mapping[tuple[int, bytes], _Held]:
    held: dict[tuple[int, bytes], _Held] = {}
    for record in records:
        key = record.key or b""
        if not key.startswith(PREFIX):
            continue
        held.pop((record.partition, key), None)
        try:
            entry = None if record.value is None else Entry.decode(record.value)
        except ValidationError:
            # Of a later version: the shard of this one does not hold it either.
            continue
        if entry is not None:
            held[record.partition, key] = _Held(entry.tenant, entry.category, entry.admitted_at_ms)
    return held


def _shrinks(before: CategoryPolicy, after: CategoryPolicy | None) -> bool:
    if before.cache is Cacheable.NEVER:
        return False
    if after is None or after.cache is Cacheable.NEVER:
        return True
    return after.quota.cap < before.quota.cap or lifetime_max(after) < lifetime_max(before)
