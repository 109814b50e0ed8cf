"""What is being withdrawn: never served from the record that ordered it on, and gone a bounded batch at a time.

A rule stays until every entry that was there when it was ordered was looked at, and every question that was on its way
then has landed: so nothing that it means can be served, joined or admitted meanwhile.
"""

from __future__ import annotations

from refrain.schemas.documents import Banned, Withdrawal
from refrain.schemas.journal import EntriesInvalidated, HitJudged
from refrain.schemas.policy import Cacheable, Policy
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import ban_id, column_id, parse_entry_id
from refrain.streams.shard.columns import BANNED, WITHDRAWALS, Change
from refrain.streams.shard.counts import Evicted
from refrain.streams.shard.index.entries import IndexedEntry, namespace_of
from refrain.streams.shard.invalidation import matches, ordered
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.removal import remove
from refrain.streams.shard.state import Shard

LOOKED_AT_MAX = 32
"""Entries that one tick looks at for withdrawals, and as many for age: about 2 ms."""
EXPIRY_GRACE_MS = 1_000
"""Expired entries, which nobody is served, wait so long for others to leave with them."""


def on_invalidated(shard: Shard, event: EntriesInvalidated, record: Record, out: FoldResult) -> None:
    """Withdraw what matches; one entry leaves at once, others with the next ticks."""
    rule = ordered(event, record.offset, shard.time_ms)
    if event.entry_id is None:
        shard.apply([WITHDRAWALS.put(column_id(record.offset), rule)])
        return
    seen = _named(shard, event.entry_id)
    if seen is not None and matches(rule, shard.entry(seen), event.entry_id):
        remove(shard, [seen], Evicted.WITHDRAWN, out)


def on_policy(shard: Shard, policy: Policy, offset: int) -> list[Change]:
    """Withdrawals of the categories that hold something and that a policy from `offset` on does not let be kept."""
    held = {*shard.entries.ages.counts(), *shard.flights.categories()}
    gone = sorted(name for name in held if (of := policy.of(name)) is None or of.cache is Cacheable.NEVER)
    return [WITHDRAWALS.put(column_id(offset, name), Withdrawal(offset=offset, category=name)) for name in gone]


def withdraw_judged(shard: Shard, event: HitJudged, record: Record, out: FoldResult) -> None:
    """Withdraw the answer of a decision that was judged wrong, and never keep it again."""
    if event.namespace is not None and event.answer:
        shard.apply([ban(event.namespace, event.answer, event.version)])
    seen = _judged(shard, event)
    if seen is not None:
        # At once, and not with a tick: the same answer may come again before, and would take this entry's place.
        entry = shard.entry(seen)
        space = namespace_of(entry.space, entry.category, entry.embedder, entry.context)
        shard.apply([ban(space.hex(), entry.answer_digest, event.version)])
        remove(shard, [seen], Evicted.JUDGED, out)
    elif event.forward_id is not None and shard.flights.get(event.forward_id) is not None:
        rule = Withdrawal(offset=record.offset, forward_id=event.forward_id, looked_at=record.offset)
        shard.apply([WITHDRAWALS.put(column_id(record.offset), rule)])


def ban(namespace: str, answer: str, version: int) -> Change:
    """The answer (digest) is not kept or served again in the namespace (hex)."""
    return BANNED.put(ban_id(namespace, answer), Banned(version=version))


def sweep(shard: Shard, out: FoldResult) -> bool:
    """One bounded batch of what is withdrawn and of what has expired leaves. Returns whether there was any."""
    looking = any(map(_is_looking, shard.withdrawals.values()))
    left = LOOKED_AT_MAX
    for id_, rule in sorted(shard.withdrawals.items()):
        if left > 0 and _is_looking(rule):
            left -= _look(shard, id_, rule, left, out)
    left = LOOKED_AT_MAX
    for category, life_ms in shard.lives.items():
        ids = shard.entries.oldest(category, left, shard.time_ms - life_ms)
        left -= len(ids)
        remove(shard, [seen for seen in map(shard.entries.by_id, ids) if seen is not None], Evicted.EXPIRED, out)
    return looking or left < LOOKED_AT_MAX


def finish(shard: Shard) -> None:
    """Rules that can mean nothing any more are dropped."""
    if not shard.withdrawals:
        return
    oldest = shard.flights.oldest_offset()
    done = [
        id_
        for id_, rule in shard.withdrawals.items()
        if not _is_looking(rule) and (oldest is None or oldest >= rule.offset)
    ]
    shard.apply([WITHDRAWALS.delete(id_) for id_ in done])


def next_sweep_ms(shard: Shard) -> int | None:
    """When (ms) there is something to sweep, None while nothing will be."""
    if any(map(_is_looking, shard.withdrawals.values())):
        return 0
    times = [
        first + life_ms + EXPIRY_GRACE_MS
        for category, life_ms in shard.lives.items()
        if (first := shard.entries.first_admitted_ms(category)) is not None
    ]
    return min(times, default=None)


def _is_looking(rule: Withdrawal) -> bool:
    return rule.looked_at < rule.offset


def _look(shard: Shard, id_: str, rule: Withdrawal, most: int, out: FoldResult) -> int:
    """Look at the next entries for one rule; returns how many there were."""
    ids = shard.entries.ids_between(rule.looked_at, rule.offset, most, rule.tenant, rule.category)
    found = [seen for seen in map(shard.entries.by_id, ids) if seen is not None]
    leaving = [seen for seen in found if matches(rule, shard.entry(seen), shard.wire_id(seen.id))]
    remove(shard, leaving, Evicted.WITHDRAWN, out)
    looked_at = ids[-1] if len(ids) == most else rule.offset
    shard.apply([WITHDRAWALS.put(id_, rule.model_copy(update={"looked_at": looked_at}))])
    return len(ids)


def _judged(shard: Shard, event: HitJudged) -> IndexedEntry | None:
    """The entry of the answer that a judged decision gave, if this shard holds it."""
    if event.entry_id is not None:
        return _named(shard, event.entry_id)
    if event.forward_id is None or event.partition not in (None, shard.partition):
        return None
    alike = shard.entries.brought_by(event.forward_id)
    return next((seen for seen in alike if shard.entry(seen).forward_id == event.forward_id), None)


def _named(shard: Shard, wire_id: str) -> IndexedEntry | None:
    """The entry of that id outside the shard, if it is this shard's."""
    place = parse_entry_id(wire_id)
    if place is None or place.partition != shard.partition or not place.is_of(shard.incarnation):
        return None
    return shard.entries.by_id(place.offset)
