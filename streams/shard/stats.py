"""Statistics of a shard: running totals and current size, for `refrain stats` and its worker's metrics."""

from __future__ import annotations

from collections import Counter

from refrain.schemas.documents import Tally
from refrain.schemas.policy import CategoryPolicy
from refrain.schemas.stats import CategoryNow, ShardStats
from refrain.streams.shard.adaptation import terms
from refrain.streams.shard.state import Shard

CONTROL = "control"
"""The place of commands in `highwater`."""


def stats_of(shard: Shard) -> ShardStats:
    """Statistics as of the record folded last."""
    loads = {model: load for model in sorted(shard.loads) if (load := shard.load_of(model)) > 0}
    return ShardStats(
        partition=shard.partition,
        time_ms=shard.time_ms,
        policy_version=None if shard.policy is None else shard.policy.version,
        control=shard.highwater.get(CONTROL, -1),
        entries=len(shard.entries),
        waiting=shard.flights.waiting,
        withdrawing=len(shard.withdrawals),
        loads=loads,
        categories=_categories(shard, max(loads.values(), default=0.0)),
    )


def _categories(shard: Shard, load: float) -> dict[str, CategoryNow]:
    tallies = shard.counters.of()
    held: Counter[str] = Counter()
    tenants: Counter[str] = Counter()
    for (_, category), count in shard.entries.quota_counts().items():
        held[category] += count
        tenants[category] += count > 0
    policies = {} if shard.policy is None else shard.policy.policy.categories
    return {
        name: _now(shard, name, policies.get(name), tallies.get(name, Tally()), held[name], tenants[name], load)
        for name in sorted(tallies.keys() | held.keys())
    }


def _now(
    shard: Shard, name: str, policy: CategoryPolicy | None, tally: Tally, entries: int, tenants: int, load: float
) -> CategoryNow:
    off = shard.is_off(name)
    if policy is None:
        return CategoryNow(tally=tally, entries=entries, room=0, off=off)
    in_force = terms(policy, shard.judged.get(name, ""), load)
    return CategoryNow(
        tally=tally,
        entries=entries,
        room=tenants * policy.quota.cap,
        threshold=in_force.now.threshold,
        base_threshold=in_force.policy.threshold,
        ttl_ms=in_force.now.ttl_ms,
        base_ttl_ms=policy.ttl_ms,
        relaxation=in_force.relaxation,
        off=off,
    )
