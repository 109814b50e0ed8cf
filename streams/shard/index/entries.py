"""The index of a shard's entries: what a decision needs of each without fetching its document.

Rows are numbers that are used again; columns of numbers take the room that objects would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from refrain.schemas.documents import Aging, Entry, EntryStats
from refrain.schemas.policy import Policy
from refrain.streams.shard.eviction.expiry import ExpiryQueues
from refrain.streams.shard.eviction.quotas import Admissions, Quota, Quotas
from refrain.streams.shard.index.vector_tables import Match, Query, Search, Table, Tables
from refrain.streams.vectors import decode

EF_AT_FIRST = 64
"""The breadth of a new HNSW's searches; every search sets its own."""


def namespace_of(space: str, category: str, embedder: str, context: str) -> bytes:
    """The digest (16 bytes) of all that must be the same for two questions to be compared."""
    return hashlib.blake2b("\x00".join((space, category, embedder, context)).encode(), digest_size=16).digest()


def text_key(space: str, category: str, text_digest: str) -> bytes:
    """The digest (16 bytes) that the same text has in every context of a category."""
    return hashlib.blake2b("\x00".join((space, category, text_digest)).encode(), digest_size=16).digest()


def forward_key(forward_id: str | None) -> int:
    """The digest (64 bits, signed) of a forward's id; 0 for none."""
    if forward_id is None:
        return 0
    return int.from_bytes(hashlib.blake2b(forward_id.encode(), digest_size=8).digest(), "little", signed=True)


class IndexedEntry(NamedTuple):
    """What the index knows of an entry."""

    row: int
    id: int
    admitted_at_ms: int
    hits: int
    stale_served: bool
    """Whether it was served beyond its lifetime."""


class EntryIndex:
    """All entries of a shard."""

    def __init__(self, tables: Callable[[int], Tables] = Tables) -> None:
        """`tables` makes those of vectors of so many dimensions."""
        self._tables_of = tables
        self._rows: dict[int, int] = {}
        """Row by id."""
        self._ids = np.full(16, -1, dtype=np.int64)
        self._admitted = np.zeros(16, dtype=np.int64)
        self._stale = np.zeros(16, dtype=np.bool_)
        self._forwards = np.zeros(16, dtype=np.int64)
        """Of the forward that brought each."""
        self.ages = ExpiryQueues()
        self._quotas = Quotas()
        self._space_numbers: dict[bytes, int] = {}
        self._space_names: list[bytes] = []
        self._space_counts: list[int] = []
        self._free_spaces: list[int] = []
        self._space_of = np.zeros(16, dtype=np.int32)
        self._texts: dict[bytes, int | tuple[int, ...]] = {}
        self._free: list[int] = []
        self._used = 0
        self._tables: dict[int, Tables] = {}
        self._by_space: dict[int, tuple[Tables, Table]] = {}
        self._modes: dict[bytes, Search] = {}

    def __len__(self) -> int:
        return len(self._rows)

    # -- asking ---------------------------------------------------------------------------------------

    def exact(self, space: bytes, text: bytes) -> IndexedEntry | None:
        """The entry of the same text in the namespace."""
        number = self._space_numbers.get(space)
        for row in self._rows_of_text(text):
            if self._space_of[row] == number:
                return self.seen(row)
        return None

    def same_text(self, text: bytes) -> IndexedEntry | None:
        """The newest entry of the same text in any namespace of the category."""
        rows = self._rows_of_text(text)
        return self.seen(max(rows, key=lambda row: int(self._ids[row]))) if rows else None

    def nearest(
        self, space: bytes, query: Query, count: int, floor: float, ef: int
    ) -> tuple[Search | None, list[tuple[Match, IndexedEntry]]]:
        """How the namespace was searched (None: it holds nothing), and its candidates, best and oldest first."""
        place = self._place(space)
        if place is None:
            return None, []
        tables, table = place
        if tables.dim != len(query.ints):
            raise ValueError(f"the vector has {len(query.ints)} dimensions, the table {tables.dim}")
        found = [(each, self.seen(each.row)) for each in tables.search(table, query, count, floor, ef)]
        found.sort(key=lambda pair: (-pair[0].similarity, pair[1].id))
        return table.search, found[:count]

    def holds_any(self, space: bytes) -> bool:
        """Whether the namespace holds an entry."""
        return space in self._space_numbers

    def dimensions(self, space: bytes) -> int | None:
        """Dimensions of the namespace's vectors, None without any."""
        place = self._place(space)
        return None if place is None else place[0].dim

    def graph(self, space: bytes) -> Any:
        """The namespace's hnswlib index, None while it has none: for measuring it bare."""
        place = self._place(space)
        return None if place is None or place[1].graph is None else place[1].graph.index

    def table_size(self, space: bytes) -> int:
        """Vectors in the namespace's table."""
        place = self._place(space)
        return 0 if place is None else len(place[1])

    def mode(self, space: bytes) -> Search:
        """How the namespace is searched."""
        return self._modes.get(space, "exact")

    def by_id(self, id_: int) -> IndexedEntry | None:
        """The entry of that id."""
        row = self._rows.get(id_)
        return None if row is None else self.seen(row)

    def seen(self, row: int) -> IndexedEntry:
        """What is known of a row."""
        hits = int(self._quotas.uses.hits[row])
        return IndexedEntry(row, int(self._ids[row]), int(self._admitted[row]), hits, bool(self._stale[row]))

    def stats(self, seen: IndexedEntry) -> EntryStats:
        """How an entry is used; before its first use `last_offset` is that of its admission."""
        uses, row = self._quotas.uses, seen.row
        return EntryStats(
            hits=seen.hits,
            last_offset=int(uses.last[row]),
            value=float(uses.value[row]),
            stale_served=seen.stale_served,
        )

    def category_of(self, seen: IndexedEntry) -> str:
        """The category of an entry."""
        return self._quotas.of(seen.row).category

    def oldest(self, category: str, most: int, admitted_before_ms: int) -> list[int]:
        """Ids of up to `most` of the category's oldest entries, admitted before a time (ms)."""
        return self.ages.oldest(category, most, admitted_before_ms, self._admitted_at)

    def first_admitted_ms(self, category: str) -> int | None:
        """When the category's oldest entry was admitted (ms), None without any."""
        return self.ages.first_admitted_ms(category, self._admitted_at)

    def ids_between(self, after: int, before: int, most: int, tenant: str | None, category: str | None) -> list[int]:
        """The `most` lowest ids above `after` and below `before`, in order, of a tenant or category where given."""
        ids = self._ids[: self._used]
        wanted = (ids > after) & (ids < before)
        if tenant is not None or category is not None:
            wanted &= np.isin(self._quotas.uses.room[: self._used], self._quotas.numbers(tenant, category))
        found = ids[wanted]
        if len(found) > most:
            found = np.partition(found, most)[:most]
        return sorted(found.tolist())

    def brought_by(self, forward_id: str) -> list[IndexedEntry]:
        """The entries that this forward may have brought; another one of the same digest is among them by chance."""
        rows = np.flatnonzero(self._forwards[: self._used] == forward_key(forward_id))
        return [self.seen(row) for row in rows.tolist() if self._ids[row] >= 0]

    def _admitted_at(self, id_: int) -> int | None:
        row = self._rows.get(id_)
        return None if row is None else int(self._admitted[row])

    def room(self, tenant: str, category: str) -> int:
        """How many entries the tenant holds in the category."""
        return self._quotas.count(tenant, category)

    def quotas(self) -> dict[tuple[str, str], int]:
        """How many entries each tenant holds in each category."""
        return self._quotas.counts()

    def all_rooms(self) -> list[Quota]:
        """Every room, in the order of their ids."""
        return self._quotas.all()

    def victim(self, tenant: str, category: str, now_ms: int) -> IndexedEntry | None:
        """The entry that goes first when this room is full, None when it is empty."""
        row = self._quotas.victim(tenant, category, Admissions(self._admitted, now_ms))
        return None if row is None else self.seen(row)

    def victim_of_shard(self, tenant: str, category: str, now_ms: int) -> IndexedEntry | None:
        """The entry that goes first when the shard is full, None when all of it is guaranteed.

        This tenant's room in the category counts as holding one more.
        """
        row = self._quotas.victim_of_shard(tenant, category, Admissions(self._admitted, now_ms))
        return None if row is None else self.seen(row)

    def value_if_used(self, seen: IndexedEntry) -> float:
        """What EntryStats says of an entry's value when it is served."""
        return self._quotas.value_if_used(seen.row)

    def value_if_admitted(self, entry: Entry) -> float:
        """What Entry says of its own value; to be asked after room was made for it."""
        return self._quotas.value_if_admitted(entry)

    def aged_by(self, seen: IndexedEntry, *, whole_shard: bool) -> tuple[str, Aging] | None:
        """The base that moves when an entry is evicted, with its id; None when it stays."""
        return self._quotas.aged_by(seen.row, whole_shard=whole_shard)

    # -- changing -------------------------------------------------------------------------------------

    def add(self, entry: Entry, stats: EntryStats | None = None, *, into_table: bool = True) -> int:
        """Take an entry in; returns its row. Without `into_table` the caller builds the table later."""
        row = self._take_row()
        self._rows[entry.id] = row
        self._ids[row] = entry.id
        self._admitted[row] = entry.admitted_at_ms
        self._stale[row] = stats is not None and stats.stale_served
        self._forwards[row] = forward_key(entry.forward_id)
        self.ages.enter(entry.category, entry.id)
        space = namespace_of(entry.space, entry.category, entry.embedder, entry.context)
        number = self._space_number(space)
        self._space_of[row] = number
        self._space_counts[number] += 1
        text = text_key(entry.space, entry.category, entry.text_digest)
        rows = self._rows_of_text(text)
        self._texts[text] = (*rows, row) if rows else row
        self._quotas.enter(row, entry, stats)
        if entry.vector is not None and into_table:
            self.add_vector(space, row, Query.of(decode(entry.vector)))
        return row

    def add_vector(self, space: bytes, row: int, query: Query) -> None:
        """Put the vector of a row into its namespace's table."""
        tables, table = self._table(space, len(query.ints))
        tables.add(table, row, query)

    def remove(self, seen: IndexedEntry, entry: Entry) -> None:
        """Let an entry go."""
        row = seen.row
        if entry.vector is not None:
            tables, table = self._by_space[int(self._space_of[row])]
            tables.remove(table, row)
            if not len(table):
                # A restored shard has no table either where only entries without a vector are left.
                del self._by_space[int(self._space_of[row])]
        text = text_key(entry.space, entry.category, entry.text_digest)
        rest = tuple(each for each in self._rows_of_text(text) if each != row)
        if not rest:
            del self._texts[text]
        else:
            self._texts[text] = rest[0] if len(rest) == 1 else rest
        self._quotas.leave(row)
        del self._rows[seen.id]
        self._ids[row] = -1
        self._free.append(row)
        self.ages.leave(entry.category, self._admitted_at)
        self._leave_space(int(self._space_of[row]))

    def use(self, seen: IndexedEntry, stats: EntryStats) -> None:
        """An entry was served."""
        self._stale[seen.row] = stats.stale_served
        self._quotas.use(seen.row, stats)

    def follow(self, policy: Policy) -> None:
        """A policy came into force: what is guaranteed, what counts, what goes first."""
        self._quotas.follow(policy)

    def age(self, id_: str, aging: Aging) -> None:
        """How far values have aged, in a room or in the whole shard."""
        self._quotas.age(id_, aging)

    def set_mode(self, space: bytes, mode: Search) -> None:
        """Change how a namespace is searched."""
        self._modes[space] = mode
        place = self._place(space)
        if mode == "ann" and place is not None:
            place[0].become_ann(place[1], EF_AT_FIRST)

    def build(self, space: bytes, rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16], threads: int) -> None:
        """Build the HNSW of an ann namespace at once from the vectors of record (n, dim) of its rows."""
        tables, table = self._table(space, ints.shape[1])
        tables.build(table, rows, ints, threads)

    # -- inside ---------------------------------------------------------------------------------------

    def _rows_of_text(self, text: bytes) -> tuple[int, ...]:
        rows = self._texts.get(text, ())
        return (rows,) if isinstance(rows, int) else rows

    def _place(self, space: bytes) -> tuple[Tables, Table] | None:
        number = self._space_numbers.get(space)
        return None if number is None else self._by_space.get(number)

    def _table(self, space: bytes, dim: int) -> tuple[Tables, Table]:
        number = self._space_number(space)
        place = self._by_space.get(number)
        if place is None:
            tables = self._tables.get(dim)
            if tables is None:
                tables = self._tables[dim] = self._tables_of(dim)
            place = self._by_space[number] = (tables, Table())
            if self._modes.get(space) == "ann":
                tables.become_ann(place[1], EF_AT_FIRST)
        return place

    def _space_number(self, space: bytes) -> int:
        number = self._space_numbers.get(space)
        if number is not None:
            return number
        if self._free_spaces:
            number = self._free_spaces.pop()
            self._space_names[number] = space
        else:
            number = len(self._space_names)
            self._space_names.append(space)
            self._space_counts.append(0)
        self._space_numbers[space] = number
        return number

    def _leave_space(self, number: int) -> None:
        # Contexts come and go (a date in a prompt): a namespace that holds nothing must cost nothing.
        self._space_counts[number] -= 1
        if self._space_counts[number] == 0:
            self._by_space.pop(number, None)
            del self._space_numbers[self._space_names[number]]
            self._free_spaces.append(number)

    def _take_row(self) -> int:
        if self._free:
            return self._free.pop()
        if self._used == len(self._ids):
            for name in ("_ids", "_admitted", "_stale", "_forwards", "_space_of"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate((column, np.zeros_like(column))))
            self._quotas.uses.reserve(len(self._ids))
        self._used += 1
        return self._used - 1
