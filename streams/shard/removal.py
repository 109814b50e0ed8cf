"""Removal of entries, and whether an invalidation applies to an entry or a flight."""

from __future__ import annotations

from refrain.schemas.documents import Flight
from refrain.streams.shard.columns import ENTRIES, OPINIONS, STATS, Change, entry_id, opinion_id
from refrain.streams.shard.counts import Evicted, evicted
from refrain.streams.shard.index.entries import IndexedEntry
from refrain.streams.shard.invalidation import concerns, matches
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard


def is_withdrawn(shard: Shard, indexed: IndexedEntry, namespace: bytes) -> bool:
    """Whether an invalidation bars an entry that is still there from being served."""
    banned = shard.banned.get(namespace.hex())
    if not shard.withdrawals and banned is None:
        return False
    entry = shard.entry(indexed)
    if banned is not None and entry.answer_digest in banned:
        return True
    wire_id = shard.wire_id(indexed.id)
    return any(matches(rule, entry, wire_id) for rule in shard.withdrawals.values())


def is_invalidated(shard: Shard, flight: Flight) -> bool:
    """Whether an invalidation bars a flight, asked before it, from being joined and its answer from being stored."""
    return any(concerns(rule, flight) for rule in shard.withdrawals.values())


def remove(shard: Shard, leaving: list[IndexedEntry], why: Evicted, out: FoldResult) -> None:
    """Remove entries from the shard; counted by category and reason."""
    for indexed in leaving:
        out.counts.append(evicted(shard.entries.category_of(indexed), why))
    shard.apply([change for indexed in leaving for change in departure(shard, indexed)])


def departure(shard: Shard, indexed: IndexedEntry) -> list[Change]:
    """Changes that delete an entry, its usage and its verifier scores."""
    gone = [ENTRIES.delete(entry_id(indexed.id))]
    gone += [OPINIONS.delete(opinion_id(indexed.id, text)) for text in shard.verification_scores.of(indexed.id)]
    return [*gone, STATS.delete(entry_id(indexed.id))] if indexed.hits else gone
