"""How entries leave, and whether an invalidation means them."""

from __future__ import annotations

from refrain.schemas.documents import Flight
from refrain.streams.shard.columns import ENTRIES, OPINIONS, STATS, Change, entry_id, opinion_id
from refrain.streams.shard.counts import Evicted, evicted
from refrain.streams.shard.index.entries import IndexedEntry
from refrain.streams.shard.invalidation import concerns, matches
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard


def is_withdrawn(shard: Shard, seen: IndexedEntry, namespace: bytes) -> bool:
    """Whether an entry that is still there must not be served."""
    banned = shard.banned.get(namespace.hex())
    if not shard.withdrawals and banned is None:
        return False
    entry = shard.entry(seen)
    if banned is not None and entry.answer_digest in banned:
        return True
    wire_id = shard.wire_id(seen.id)
    return any(matches(rule, entry, wire_id) for rule in shard.withdrawals.values())


def is_invalidated(shard: Shard, flight: Flight) -> bool:
    """Whether a question on its way may not be joined, nor its answer kept: it was asked before a withdrawal."""
    return any(concerns(rule, flight) for rule in shard.withdrawals.values())


def remove(shard: Shard, leaving: list[IndexedEntry], why: Evicted, out: FoldResult) -> None:
    """Entries leave the shard; counted by category and reason."""
    for seen in leaving:
        out.counts.append(evicted(shard.entries.category_of(seen), why))
    shard.apply([change for seen in leaving for change in departure(shard, seen)])


def departure(shard: Shard, seen: IndexedEntry) -> list[Change]:
    """The changes by which an entry leaves, and what was said of it."""
    gone = [ENTRIES.delete(entry_id(seen.id))]
    gone += [OPINIONS.delete(opinion_id(seen.id, text)) for text in shard.opinions.of(seen.id)]
    return [*gone, STATS.delete(entry_id(seen.id))] if seen.hits else gone
