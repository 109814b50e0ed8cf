"""The column families of a shard's store: name, message, index updates and restore order of each.

Nothing else says what a column is: `Shard.apply` and `load_shard` go by this table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from refrain.schemas.base import Message
from refrain.schemas.documents import (
    Aging,
    Banned,
    Doubt,
    Entry,
    EntryStats,
    Flight,
    Judged,
    Opinion,
    ShardLoad,
    ShardPolicy,
    Skip,
    Switched,
    TableMode,
    Tally,
    TenantUse,
    Waiting,
    Withdrawal,
)
from refrain.streams.errors import StoreDamaged
from refrain.streams.messaging.ids import column_id, parse_ban_id, parse_column_id
from refrain.streams.models.heads_in_force import heads_of
from refrain.streams.shard.adaptation import lifetime_max
from refrain.streams.shard.index.entries import namespace_of_key
from refrain.streams.shard.skips import first_of

if TYPE_CHECKING:
    from refrain.streams.shard.state import Shard

M = TypeVar("M", bound=Message)

POLICY_ID = "policy"
META_KEY = b"meta/meta"
"""The key of `Meta`, which no change moves: the shard makes it with each commit."""
ALL = "*"
"""The id of the switch for all categories."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Column(Generic[M]):
    """Column family: records of one message by id."""

    name: str
    message: type[M]
    index: Callable[[Shard, str, M], None]
    """Moves the indexes in memory by a record that is put."""
    unindex: Callable[[Shard, str], None] | None
    """The same for one that is deleted; None: that is never done."""
    written_once: bool = False
    """Records have ids of their own: put once, never changed, deleted once."""
    restored_by: Callable[[M], int] | None = None
    """Sort key of the records when a shard is restored; None: any order."""
    with_entries: bool = False
    """Restored before all others, together with the entries."""

    def put(self, id_: str, message: M) -> Change:
        """The change that writes a record."""
        return Change(self, id_, message)

    def delete(self, id_: str) -> Change:
        """The change that deletes a record."""
        return Change(self, id_, None)

    def key(self, id_: str) -> bytes:
        """The key in store and `documents`."""
        return f"{self.name}/{id_}".encode()

    def apply(self, shard: Shard, id_: str, message: M | None) -> None:
        """Apply a change to the indexes. Raises ValueError for a deletion in a column that has none."""
        if message is not None:
            self.index(shard, id_, message)
        elif self.unindex is not None:
            self.unindex(shard, id_)
        else:
            raise ValueError(f"records of {self.name} are never deleted")


class Change(NamedTuple):
    """Write to the store: one record put, or deleted when `message` is None. Made by `Column.put` and `.delete`."""

    column: Column[Any]
    id: str
    message: Message | None

    @property
    def key(self) -> bytes:
        """The key in store and `documents`."""
        return self.column.key(self.id)


def entry_id(number: int) -> str:
    """The id of an entry in its column: keys sort as numbers do."""
    return column_id(number)


def opinion_id(number: int, text_digest: str) -> str:
    """The id of a verifier's score of an entry for a question text."""
    return column_id(number, text_digest)


def parts_of_opinion_id(id_: str) -> tuple[int, str]:
    """The number of the entry and the digest of the text. Raises ValueError for a text that is no such id."""
    number, text_digest = parse_column_id(id_)
    if text_digest is None:
        raise ValueError(f"{id_!r} names no text")
    return number, text_digest


def digest_of(changes: dict[bytes, bytes | None]) -> str:
    """Digest (hex) of a set of changes, whatever their order."""
    running = hashlib.blake2b(digest_size=8)
    for key in sorted(changes):
        value = changes[key]
        running.update(key)
        running.update(b"\x00" if value is None else b"\x01" + value)
    return running.hexdigest()


def _add_entry(shard: Shard, _: str, entry: Entry) -> None:
    shard.entries.add(entry)
    shard.tenants.enter(entry.tenant, namespace_of_key(entry))


def _remove_entry(shard: Shard, id_: str) -> None:
    indexed = shard.entries.by_id(int(id_))
    found = shard.document(ENTRIES, id_)
    if indexed is None or found is None:
        raise StoreDamaged(f"entry {int(id_)} of shard {shard.partition} is not there to be removed")
    entry = Entry.decode(found)
    shard.entries.remove(indexed, entry)
    shard.tenants.leave(entry.tenant, namespace_of_key(entry))


def _use_entry(shard: Shard, id_: str, stats: EntryStats) -> None:
    indexed = shard.entries.by_id(int(id_))
    if indexed is not None:
        shard.entries.use(indexed, stats)


def _forget_use(shard: Shard, id_: str) -> None:
    """Nothing to do: the usage of an entry leaves the index with the entry."""


def _set_mode(shard: Shard, id_: str, mode: TableMode) -> None:
    shard.entries.namespaces.set_mode(bytes.fromhex(id_), mode.search)


def _set_policy(shard: Shard, _: str, policy: ShardPolicy) -> None:
    shard.policy = policy
    shard.heads = heads_of(policy.policy.hit_heads, shard.heads)
    shard.entries.follow(policy.policy)
    shard.lives = {name: lifetime_max(of) for name, of in policy.policy.categories.items()}


def _set_aging(shard: Shard, id_: str, aging: Aging) -> None:
    shard.entries.age(id_, aging)


def _set_load(shard: Shard, id_: str, load: ShardLoad) -> None:
    shard.loads[id_] = load


def _order_withdrawal(shard: Shard, id_: str, rule: Withdrawal) -> None:
    shard.withdrawals[id_] = rule


def _end_withdrawal(shard: Shard, id_: str) -> None:
    del shard.withdrawals[id_]


def _ban(shard: Shard, id_: str, banned: Banned) -> None:
    namespace, answer = parse_ban_id(id_)
    shard.banned.setdefault(namespace, set()).add(answer)


def _set_judged(shard: Shard, id_: str, judged: Judged) -> None:
    shard.judged[id_] = judged.recent


def _switch_off(shard: Shard, id_: str, switched: Switched) -> None:
    shard.switches[id_] = switched.version


def _switch_on(shard: Shard, id_: str) -> None:
    del shard.switches[id_]


def _put_doubt(shard: Shard, id_: str, doubt: Doubt) -> None:
    shard.pending_verifications.put(id_, doubt)


def _end_doubt(shard: Shard, id_: str) -> None:
    shard.pending_verifications.end(id_)


def _put_opinion(shard: Shard, id_: str, opinion: Opinion) -> None:
    number, text = parts_of_opinion_id(id_)
    shard.verification_scores.put(number, text, opinion)


def _drop_opinion(shard: Shard, id_: str) -> None:
    number, text = parts_of_opinion_id(id_)
    shard.verification_scores.drop(number, text)


def _set_tally(shard: Shard, id_: str, tally: Tally) -> None:
    shard.counters.restore(id_, tally)


def _set_use(shard: Shard, id_: str, use: TenantUse) -> None:
    shard.tenants.use(id_, use)


def _drop_use(shard: Shard, id_: str) -> None:
    shard.tenants.forget(id_)


def _skip(shard: Shard, id_: str, skip: Skip) -> None:
    shard.skips.put(first_of(id_), skip)


def _open_flight(shard: Shard, _: str, flight: Flight) -> None:
    shard.flights.open(flight)


def _complete_flight(shard: Shard, id_: str) -> None:
    shard.flights.complete(id_)


def _wait(shard: Shard, _: str, waiting: Waiting) -> None:
    shard.flights.wait(waiting)


def _leave(shard: Shard, id_: str) -> None:
    shard.flights.leave(id_)


TABLES = Column(name="tables", message=TableMode, index=_set_mode, unindex=None, with_entries=True)
STATS = Column(name="stats", message=EntryStats, index=_use_entry, unindex=_forget_use, with_entries=True)
ENTRIES = Column(
    name="entries", message=Entry, index=_add_entry, unindex=_remove_entry, written_once=True, with_entries=True
)
POLICIES = Column(name="policies", message=ShardPolicy, index=_set_policy, unindex=None)
AGING = Column(name="aging", message=Aging, index=_set_aging, unindex=None)
LOADS = Column(name="loads", message=ShardLoad, index=_set_load, unindex=None)
WITHDRAWALS = Column(name="withdrawals", message=Withdrawal, index=_order_withdrawal, unindex=_end_withdrawal)
BANNED = Column(name="banned", message=Banned, index=_ban, unindex=None)
JUDGED = Column(name="judged", message=Judged, index=_set_judged, unindex=None)
SWITCHES = Column(name="switches", message=Switched, index=_switch_off, unindex=_switch_on)
DOUBTS = Column(name="doubts", message=Doubt, index=_put_doubt, unindex=_end_doubt)
OPINIONS = Column(name="opinions", message=Opinion, index=_put_opinion, unindex=_drop_opinion, written_once=True)
TALLIES = Column(name="tallies", message=Tally, index=_set_tally, unindex=None)
TENANTS = Column(name="tenants", message=TenantUse, index=_set_use, unindex=_drop_use)
SKIPS = Column(name="skips", message=Skip, index=_skip, unindex=None)
FLIGHTS = Column(
    name="flights",
    message=Flight,
    index=_open_flight,
    unindex=_complete_flight,
    written_once=True,
    restored_by=lambda flight: flight.offset,
)
WAITING = Column(
    name="waiting",
    message=Waiting,
    index=_wait,
    unindex=_leave,
    written_once=True,
    restored_by=lambda waiting: waiting.offset,
)

COLUMNS: tuple[Column[Any], ...] = (
    TABLES, STATS, ENTRIES, POLICIES, AGING, LOADS, WITHDRAWALS, BANNED, JUDGED, SWITCHES, DOUBTS, OPINIONS, TALLIES,
    TENANTS, SKIPS, FLIGHTS, WAITING,
)  # fmt: skip
"""All columns in the order in which a shard is restored: entries before what refers to them, flights before waiting."""
