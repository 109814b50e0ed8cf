"""What a shard knew at a point of its journal: read from the state that a fold gives there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from refrain.ops.audit.refold import PartitionFold
from refrain.ops.replay.partition import RecordedFold
from refrain.ops.replay.stretch import Stretch
from refrain.schemas.base import QuestionKey
from refrain.schemas.documents import Entry, Waiting
from refrain.schemas.stats import ShardStats
from refrain.streams.errors import BadInput, WrongValue
from refrain.streams.kafka.interface import Cluster
from refrain.streams.shard.adaptation import terms
from refrain.streams.shard.columns import ENTRIES, FLIGHTS, WAITING, Column
from refrain.streams.shard.index.entries import IndexedEntry, namespace_of_key
from refrain.streams.shard.removal import is_withdrawn
from refrain.streams.shard.state import Shard
from refrain.streams.shard.stats import stats_of

STEP = 200
"""Records after which progress is told."""


class Wanted(NamedTuple):
    """Whose entries and waiting requests are shown, None for all; and whether with their texts."""

    category: str | None = None
    tenant: str | None = None
    text: bool = False

    def holds(self, of: QuestionKey | Waiting) -> bool:
        """Whether something of that tenant and category is shown."""
        return self.category in (None, of.category) and self.tenant in (None, of.tenant)


class KnownEntry(NamedTuple):
    """An entry as it was known; times in milliseconds."""

    id: str
    tenant: str
    category: str
    model: str
    age_ms: int
    uses: int
    ttl_ms: int | None
    """The lifetime in force: the policy's, with load in it; None where the policy has no such category."""
    status: str
    """`alive`, `stale` (beyond its lifetime), or `withdrawn` (on its way out, and not served)."""
    question: str | None = None
    answer: str | None = None


class WaitingRequest(NamedTuple):
    """A request that waited for a model."""

    decision_id: str
    tenant: str
    category: str
    outcome: str
    forward_id: str
    left_ms: int
    """Until its deadline."""


class KnownState(NamedTuple):
    """What a shard knew before the record at `offset`."""

    offset: int
    stats: ShardStats
    """Policy, loads, counters and sizes, of all tenants and categories."""
    flights: int
    switched_off: list[str]
    entries: list[KnownEntry]
    waiting: list[WaitingRequest]
    digest: str
    other_version: str = ""
    """The version that decided live, where it is another one."""


def state_at(
    cluster: Cluster, stretch: Stretch, wanted: Wanted, progress: Callable[[int], None] = lambda _: None
) -> Iterator[KnownState]:
    """What each shard of a stretch knew where it ends, one after another; one is held at a time.

    Raises JournalUnreadable for a record of an unknown version, and BadInput, when all are told, for a category or
    tenant of which nothing was known in any.
    """
    known, done = wanted.category is None and wanted.tenant is None, 0
    categories: set[str] = set()
    for partition in stretch.partitions:
        recorded = RecordedFold(cluster, partition)
        for _, record in stretch.of(partition):
            recorded.take(record)
            done += 1
            if done % STEP == 0:
                progress(done)
        found = known_state(recorded.fold, wanted)._replace(other_version=recorded.other_version)
        categories |= recorded.fold.shard.lives.keys()
        known |= bool(found.entries or found.waiting)
        yield found
    if not known and (wanted.tenant is not None or wanted.category not in categories):
        raise (BadInput if wanted.category in categories | {None} else WrongValue)(_nothing_of(wanted, categories))


def known_state(fold: PartitionFold, wanted: Wanted) -> KnownState:
    """What the shard of a fold knows as of now."""
    fold.commit()
    shard = fold.shard
    entries = [entry for entry in _rows(shard, ENTRIES) if wanted.holds(entry)]
    waiting = [each for each in _rows(shard, WAITING) if wanted.holds(each)]
    return KnownState(
        offset=shard.next_offset,
        stats=stats_of(shard),
        flights=sum(1 for _ in shard.store.scan(FLIGHTS.key(""))),
        switched_off=sorted(shard.switches),
        entries=[_entry(shard, entry, text=wanted.text) for entry in entries],
        waiting=[_waiting(shard, each) for each in waiting],
        digest=fold.digest(),
    )


def _nothing_of(wanted: Wanted, categories: set[str]) -> str:
    named = " and ".join(f"{what} {of!r}" for what, of in wanted._asdict().items() if isinstance(of, str))
    had = f"; the policy had the categories {', '.join(sorted(categories)) or 'none'}"
    return f"nothing of {named} was known there{had if wanted.category not in categories | {None} else ''}"


def _rows(shard: Shard, column: Column[Any]) -> Iterator[Any]:
    return (column.message.decode(value) for _, value in shard.store.scan(column.key("")))


def _entry(shard: Shard, entry: Entry, *, text: bool) -> KnownEntry:
    indexed = shard.entries.by_id(entry.id)
    ttl_ms = lifetime_ms(shard, entry)
    age_ms = shard.time_ms - entry.admitted_at_ms
    return KnownEntry(
        id=shard.wire_id(entry.id),
        tenant=entry.tenant,
        category=entry.category,
        model=entry.model,
        age_ms=age_ms,
        uses=0 if indexed is None else indexed.hits,
        ttl_ms=ttl_ms,
        status=_status(shard, entry, indexed, ttl_ms),
        question=entry.question.data if text else None,
        answer=entry.answer.data if text else None,
    )


def lifetime_ms(shard: Shard, entry: Entry) -> int | None:
    """The lifetime (ms) in force for an entry, None where the policy does not define its category."""
    policy = None if shard.policy is None else shard.policy.policy.of(entry.category)
    if policy is None:
        return None
    in_force = terms(policy, shard.judged.get(entry.category, ""), shard.load_of(entry.model))
    return in_force.now.ttl_ms


def _status(shard: Shard, entry: Entry, indexed: IndexedEntry | None, ttl_ms: int | None) -> str:
    if indexed is None or is_withdrawn(shard, indexed, namespace_of_key(entry)):
        return "withdrawn"
    return "alive" if ttl_ms is not None and shard.time_ms - entry.admitted_at_ms <= ttl_ms else "stale"


def _waiting(shard: Shard, each: Waiting) -> WaitingRequest:
    return WaitingRequest(
        each.id,
        each.tenant,
        each.category,
        each.outcome.value,
        each.forward_id,
        each.deadline_at_ms - shard.time_ms,
    )
