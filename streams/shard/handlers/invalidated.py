"""Invalidation: matching entries are never served from its record on, and removed a bounded batch a tick.

A withdrawal (the rule of an invalidation) stays until every entry that was there when it was ordered was examined, and
every flight of that moment has completed: so nothing that it matches can be served, joined or admitted meanwhile.
"""

from __future__ import annotations

from refrain.schemas.documents import Banned, Withdrawal
from refrain.schemas.journal import EntriesInvalidated, HitJudged
from refrain.schemas.policy import Cacheable, Policy
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import ban_id, column_id, parse_entry_id
from refrain.streams.shard.columns import BANNED, WITHDRAWALS, Change
from refrain.streams.shard.counts import Evicted
from refrain.streams.shard.index.entries import IndexedEntry, namespace_of_key
from refrain.streams.shard.invalidation import matches, ordered
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.removal import remove
from refrain.streams.shard.state import Shard

SWEPT_MAX = 32
"""Entries that one tick examines for withdrawals, and as many for age: about 2 ms."""
EXPIRY_GRACE_MS = 1_000
"""Expired entries, which nobody is served, wait so long for others to leave with them."""


def on_invalidated(shard: Shard, event: EntriesInvalidated, record: Record, out: FoldResult) -> None:
    """Invalidate what matches; a single entry is removed at once, others with the next ticks."""
    rule = ordered(event, record.offset, shard.time_ms)
    if event.entry_id is None:
        shard.apply([WITHDRAWALS.put(column_id(record.offset), rule)])
        return
    indexed = _named(shard, event.entry_id)
    if indexed is not None and matches(rule, shard.entry(indexed), event.entry_id):
        remove(shard, [indexed], Evicted.WITHDRAWN, out)


def on_policy(shard: Shard, policy: Policy, offset: int) -> list[Change]:
    """Withdrawals of the categories in use that a policy, in force from `offset` on, makes uncacheable."""
    held = {*shard.entries.expiry.counts(), *shard.flights.categories()}
    gone = sorted(name for name in held if (of := policy.of(name)) is None or of.cache is Cacheable.NEVER)
    return [WITHDRAWALS.put(column_id(offset, name), Withdrawal(offset=offset, category=name)) for name in gone]


def withdraw_judged(shard: Shard, event: HitJudged, record: Record, out: FoldResult) -> None:
    """Remove and ban the answer of a decision that was judged wrong."""
    if event.namespace is not None and event.answer:
        shard.apply([ban(event.namespace, event.answer, event.version)])
    indexed = _judged(shard, event)
    if indexed is not None:
        # At once, and not with a tick: the same answer may come again before, and would take this entry's place.
        entry = shard.entry(indexed)
        space = namespace_of_key(entry)
        shard.apply([ban(space.hex(), entry.answer_digest, event.version)])
        remove(shard, [indexed], Evicted.JUDGED, out)
    elif event.forward_id is not None and shard.flights.get(event.forward_id) is not None:
        rule = Withdrawal(offset=record.offset, forward_id=event.forward_id, looked_at=record.offset)
        shard.apply([WITHDRAWALS.put(column_id(record.offset), rule)])


def ban(namespace: str, answer: str, version: int) -> Change:
    """Ban an answer (digest) from the namespace (hex): it is not stored or served again."""
    return BANNED.put(ban_id(namespace, answer), Banned(version=version))


def sweep(shard: Shard, out: FoldResult) -> bool:
    """Sweep one bounded batch of withdrawn and of expired entries. Returns whether there were any."""
    sweeping = any(map(_is_sweeping, shard.withdrawals.values()))
    left = SWEPT_MAX
    for id_, rule in sorted(shard.withdrawals.items()):
        if left > 0 and _is_sweeping(rule):
            left -= _sweep_withdrawal(shard, id_, rule, left, out)
    left = SWEPT_MAX
    for category, life_ms in shard.lives.items():
        ids = shard.entries.oldest(category, left, shard.time_ms - life_ms)
        left -= len(ids)
        remove(
            shard, [indexed for indexed in map(shard.entries.by_id, ids) if indexed is not None], Evicted.EXPIRED, out
        )
    return sweeping or left < SWEPT_MAX


def finish(shard: Shard) -> None:
    """Drop withdrawals that can match nothing any more."""
    if not shard.withdrawals:
        return
    oldest = shard.flights.oldest_offset()
    done = [
        id_
        for id_, rule in shard.withdrawals.items()
        if not _is_sweeping(rule) and (oldest is None or oldest >= rule.offset)
    ]
    shard.apply([WITHDRAWALS.delete(id_) for id_ in done])


def next_sweep_ms(shard: Shard) -> int | None:
    """Time (ms) of the next sweep, None while there is nothing to sweep."""
    if any(map(_is_sweeping, shard.withdrawals.values())):
        return 0
    times = [
        first + life_ms + EXPIRY_GRACE_MS
        for category, life_ms in shard.lives.items()
        if (first := shard.entries.first_admitted_ms(category)) is not None
    ]
    return min(times, default=None)


def _is_sweeping(rule: Withdrawal) -> bool:
    return rule.looked_at < rule.offset


def _sweep_withdrawal(shard: Shard, id_: str, rule: Withdrawal, most: int, out: FoldResult) -> int:
    """Examine the next entries for one withdrawal; returns how many there were."""
    ids = shard.entries.ids_between(rule.looked_at, rule.offset, most, rule.tenant, rule.category)
    found = [indexed for indexed in map(shard.entries.by_id, ids) if indexed is not None]
    leaving = [indexed for indexed in found if matches(rule, shard.entry(indexed), shard.wire_id(indexed.id))]
    remove(shard, leaving, Evicted.WITHDRAWN, out)
    looked_at = ids[-1] if len(ids) == most else rule.offset
    shard.apply([WITHDRAWALS.put(id_, rule.model_copy(update={"looked_at": looked_at}))])
    return len(ids)


def _judged(shard: Shard, event: HitJudged) -> IndexedEntry | None:
    """Entry of the answer that a judged decision gave, if this shard holds it."""
    if event.entry_id is not None:
        return _named(shard, event.entry_id)
    if event.forward_id is None or event.partition not in (None, shard.partition):
        return None
    # The answer of who was forwarded apart came by a forward of its own, whose id is the decision's.
    return _brought(shard, event.forward_id) or _brought(shard, event.decision_id)


def _brought(shard: Shard, forward_id: str) -> IndexedEntry | None:
    """The entry that the forward brought, if it is there."""
    alike = shard.entries.brought_by(forward_id)
    return next((indexed for indexed in alike if shard.entry(indexed).forward_id == forward_id), None)


def _named(shard: Shard, wire_id: str) -> IndexedEntry | None:
    """The entry of that id outside the shard, if it is this shard's."""
    place = parse_entry_id(wire_id)
    if place is None or place.partition != shard.partition or not place.is_of(shard.incarnation):
        return None
    return shard.entries.by_id(place.offset)
