"""Applies the commands of operators and of `adapt` to the shard: policy, load, judgements, switches."""

from __future__ import annotations

from refrain.schemas.documents import Judged, ShardLoad, ShardPolicy, Switched
from refrain.schemas.journal import CacheSwitched, HitJudged, LoadChanged, PolicySet
from refrain.streams.kafka.interface import Record
from refrain.streams.shard import counts
from refrain.streams.shard.adaptation import JUDGED_MAX
from refrain.streams.shard.columns import ALL, JUDGED, LOADS, POLICIES, POLICY_ID, SWITCHES
from refrain.streams.shard.handlers import invalidated
from refrain.streams.shard.handlers.room import revaluation
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard


def on_policy_set(shard: Shard, event: PolicySet, record: Record, out: FoldResult) -> None:
    revalued = revaluation(shard, event.policy, record.offset)
    withdrawn = invalidated.on_policy(shard, event.policy, record.offset)
    policy = ShardPolicy(version=event.version, policy=event.policy)
    shard.apply([POLICIES.put(POLICY_ID, policy), *revalued, *withdrawn])
    out.counts.append(counts.policy_set(event.version))


def on_load_changed(shard: Shard, event: LoadChanged, record: Record, out: FoldResult) -> None:
    load = ShardLoad(version=event.version, load=event.load, valid_until_ms=event.valid_until_ms)
    shard.apply([LOADS.put(event.model, load)])


def on_hit_judged(shard: Shard, event: HitJudged, record: Record, out: FoldResult) -> None:
    # A miss whose answer is wrong says nothing of how near is near enough.
    if event.category is not None and event.entry_id is not None:
        recent = (shard.judged.get(event.category, "") + ("1" if event.correct else "0"))[-JUDGED_MAX:]
        shard.apply([JUDGED.put(event.category, Judged(recent=recent))])
    if not event.correct:
        invalidated.withdraw_judged(shard, event, record, out)


def on_cache_switched(shard: Shard, event: CacheSwitched, record: Record, out: FoldResult) -> None:
    """Switch the cache off or on: off holds until switched on; on without a category ends every switch."""
    if not event.on:
        shard.apply([SWITCHES.put(event.category or ALL, Switched(version=event.version))])
        return
    ended = [name for name in sorted(shard.switches) if event.category in (None, name)]
    shard.apply([SWITCHES.delete(name) for name in ended])
