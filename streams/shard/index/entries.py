"""Index of a shard's entries: what a decision needs of each without fetching its document.

Rows are numbers that are reused; columns of numbers take less memory than objects.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.schemas.base import QuestionKey
from refrain.schemas.documents import Aging, Entry, EntryStats
from refrain.schemas.policy import Policy
from refrain.streams.shard.eviction.expiry import Deadlines, ExpiryQueues
from refrain.streams.shard.eviction.quotas import Admissions, QuotaBucket, Quotas
from refrain.streams.shard.index.hnsw import GONE, SavedGraph
from refrain.streams.shard.index.rows import RowsById, RowsByText
from refrain.streams.shard.index.vector_tables import QueryVector, Search, Table, Tables, VectorMatch, query_of

DIGESTS_REMEMBERED = 1_024
"""Namespaces, and texts, of which the digest is remembered: one is asked for several times a question."""
EF_AT_FIRST = 64
"""The breadth of a new HNSW's searches; every search sets its own."""


@lru_cache(maxsize=DIGESTS_REMEMBERED)
def namespace_of(space: str, category: str, embedder: str, context: str) -> bytes:
    """The digest (16 bytes) of all that must be the same for two questions to be compared."""
    return hashlib.blake2b("\x00".join((space, category, embedder, context)).encode(), digest_size=16).digest()


def namespace_of_key(key: QuestionKey) -> bytes:
    """The namespace of what is kept, or on its way, under this key."""
    return namespace_of(key.space, key.category, key.embedder, key.context)


@lru_cache(maxsize=DIGESTS_REMEMBERED)
def text_key(space: str, category: str, text_digest: str) -> bytes:
    """The digest (16 bytes) that the same text has in every context of a category."""
    return hashlib.blake2b("\x00".join((space, category, text_digest)).encode(), digest_size=16).digest()


def forward_key(forward_id: str | None) -> int:
    """The digest (64 bits, signed) of a forward's id; 0 for none."""
    if forward_id is None:
        return 0
    return int.from_bytes(hashlib.blake2b(forward_id.encode(), digest_size=8).digest(), "little", signed=True)


class IndexedEntry(NamedTuple):
    """Indexed entry: what the index knows of an entry."""

    row: int
    id: int
    admitted_at_ms: int
    hits: int
    stale_served: bool
    """Whether it was served beyond its lifetime."""


class EntryIndex:
    """All entries of a shard."""

    def __init__(self, tables: Callable[[int], Tables] = Tables) -> None:
        """Make an empty index; `tables` makes the vector tables of so many dimensions."""
        self._tables_of = tables
        self._rows = RowsById()
        self._ids = np.full(16, -1, dtype=np.int64)
        self._admitted = np.zeros(16, dtype=np.int64)
        self._stale = np.zeros(16, dtype=np.bool_)
        self._forwards = np.zeros(16, dtype=np.int64)
        """Of the forward that brought each."""
        self.expiry = ExpiryQueues()
        self._deadlines = Deadlines()
        self._quotas = Quotas()
        self._space_numbers: dict[bytes, int] = {}
        self._space_names: list[bytes] = []
        self._space_counts: list[int] = []
        self._free_spaces: list[int] = []
        self._space_of = np.zeros(16, dtype=np.int32)
        self._texts = RowsByText()
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
        rows = [row for row in self._texts.rows(text) if self._space_of.item(row) == number]
        return self.at_row(min(rows, key=self._ids.item)) if rows else None

    def same_text(self, text: bytes) -> IndexedEntry | None:
        """The newest entry of the same text in any namespace of the category."""
        rows = self._texts.rows(text)
        return self.at_row(max(rows, key=self._ids.item)) if rows else None

    def nearest(
        self, space: bytes, query: QueryVector, count: int, floor: float, ef: int
    ) -> tuple[Search | None, list[tuple[VectorMatch, IndexedEntry]]]:
        """Nearest candidates of the namespace, best and oldest first, and how it was searched (None: it is empty)."""
        place = self._place(space)
        if place is None:
            return None, []
        tables, table = place
        if tables.dim != len(query.ints):
            raise ValueError(f"the vector has {len(query.ints)} dimensions, the table {tables.dim}")
        found = tables.search(table, query, count, floor, ef)
        found.sort(key=lambda each: (-each.similarity, self._ids.item(each.row)))
        return table.search, [(each, self.at_row(each.row)) for each in found[:count]]

    def holds_any(self, space: bytes) -> bool:
        """Whether the namespace holds an entry."""
        return space in self._space_numbers

    def dimensions(self, space: bytes) -> int | None:
        """Dimensions of the namespace's vectors, None without any."""
        place = self._place(space)
        return None if place is None else place[0].dim

    def hnsw(self, space: bytes) -> Any:
        """Bare hnswlib index of the namespace, None while it has none: for benches."""
        place = self._place(space)
        return None if place is None or place[1].hnsw is None else place[1].hnsw.index

    def table_size(self, space: bytes) -> int:
        """Vectors in the namespace's table."""
        place = self._place(space)
        return 0 if place is None else len(place[1])

    def mode(self, space: bytes) -> Search:
        """Search mode of the namespace: exact or ann."""
        return self._modes.get(space, "exact")

    def by_id(self, id_: int) -> IndexedEntry | None:
        """The entry of that id."""
        row = self._rows.get(id_)
        return None if row is None else self.at_row(row)

    def at_row(self, row: int) -> IndexedEntry:
        """The entry of a row."""
        # `item` gives a number of the interpreter at once: by an index alone it costs twice as much.
        hits: int = self._quotas.usage.hits.item(row)
        return IndexedEntry(row, self._ids.item(row), self._admitted.item(row), hits, self._stale.item(row))

    def stats(self, indexed: IndexedEntry) -> EntryStats:
        """The use of an entry; before its first use `last_offset` is that of its admission."""
        usage, row = self._quotas.usage, indexed.row
        return EntryStats(
            hits=indexed.hits,
            last_offset=int(usage.last[row]),
            value=float(usage.value[row]),
            stale_served=indexed.stale_served,
        )

    def category_of(self, indexed: IndexedEntry) -> str:
        """The category of an entry."""
        return self._quotas.of(indexed.row).category

    def oldest(self, category: str, most: int, admitted_before_ms: int) -> list[int]:
        """Ids of up to `most` of the category's oldest entries, admitted before a time (ms)."""
        return self.expiry.oldest(category, most, admitted_before_ms, self._admitted_at)

    def first_admitted_ms(self, category: str) -> int | None:
        """When the category's oldest entry was admitted (ms), None without any."""
        return self.expiry.first_admitted_ms(category, self._admitted_at)

    def take_due(self, time_ms: int, most: int) -> list[IndexedEntry]:
        """Up to `most` entries whose own deadline is over, each once: the caller removes them."""
        due = self._deadlines.take_due(time_ms, most, self._admitted_at)
        return [found for id_ in due if (found := self.by_id(id_)) is not None]

    def next_deadline_ms(self) -> int | None:
        """When the next entry leaves by its own deadline (ms), None when none does."""
        return self._deadlines.next_ms(self._admitted_at)

    def ids_between(self, after: int, before: int, most: int, tenant: str | None, category: str | None) -> list[int]:
        """The `most` lowest ids above `after` and below `before`, in order, of a tenant or category where given."""
        ids = self._ids[: self._used]
        wanted = (ids > after) & (ids < before)
        if tenant is not None or category is not None:
            wanted &= np.isin(self._quotas.usage.bucket[: self._used], self._quotas.numbers(tenant, category))
        found = ids[wanted]
        if len(found) > most:
            found = np.partition(found, most)[:most]
        return sorted(found.tolist())

    def brought_by(self, forward_id: str) -> list[IndexedEntry]:
        """Entries that this forward may have brought; another one of the same digest is among them by chance."""
        rows = np.flatnonzero(self._forwards[: self._used] == forward_key(forward_id))
        return [self.at_row(row) for row in rows.tolist() if self._ids[row] >= 0]

    def _admitted_at(self, id_: int) -> int | None:
        row = self._rows.get(id_)
        return None if row is None else int(self._admitted[row])

    def quota_count(self, tenant: str, category: str) -> int:
        """Number of entries that the tenant holds in the category."""
        return self._quotas.count(tenant, category)

    def quota_counts(self) -> dict[tuple[str, str], int]:
        """Number of entries of each tenant in each category."""
        return self._quotas.counts()

    def quota_buckets(self) -> list[QuotaBucket]:
        """Every quota bucket, in the order of their ids."""
        return self._quotas.all()

    def victim(self, tenant: str, category: str, now_ms: int) -> IndexedEntry | None:
        """Eviction victim of a quota bucket, None when it is empty."""
        row = self._quotas.victim(tenant, category, Admissions(self._admitted, now_ms))
        return None if row is None else self.at_row(row)

    def victim_of_shard(self, tenant: str, category: str, now_ms: int) -> IndexedEntry | None:
        """Eviction victim of the whole shard, None when all of it is guaranteed.

        This tenant's bucket of the category counts as holding one more.
        """
        row = self._quotas.victim_of_shard(tenant, category, Admissions(self._admitted, now_ms))
        return None if row is None else self.at_row(row)

    def value_if_used(self, indexed: IndexedEntry) -> float:
        """Eviction value for EntryStats when the entry is served."""
        return self._quotas.value_if_used(indexed.row)

    def value_if_admitted(self, entry: Entry) -> float:
        """Eviction value of a new Entry; to be asked after others were evicted for it."""
        return self._quotas.value_if_admitted(entry)

    def aged_by(self, indexed: IndexedEntry, *, whole_shard: bool) -> tuple[str, Aging] | None:
        """Aging by an eviction: id and record of the base that it moves; None: unchanged."""
        return self._quotas.aged_by(indexed.row, whole_shard=whole_shard)

    # -- changing -------------------------------------------------------------------------------------

    def add(self, entry: Entry, stats: EntryStats | None = None) -> int:
        """Add an entry; returns its row."""
        row = self._take_row()
        self._rows.put(entry.id, row)
        self._ids[row] = entry.id
        self._admitted[row] = entry.admitted_at_ms
        self._stale[row] = stats is not None and stats.stale_served
        self._forwards[row] = forward_key(entry.forward_id)
        self.expiry.enter(entry.category, entry.id)
        if entry.expires_at_ms is not None:
            self._deadlines.enter(entry.id, entry.expires_at_ms)
        space = namespace_of_key(entry)
        number = self._space_number(space)
        self._space_of[row] = number
        self._space_counts[number] += 1
        text = text_key(entry.space, entry.category, entry.text_digest)
        self._texts.add(text, row)
        self._quotas.enter(row, entry, stats)
        if entry.vector is not None:
            self.add_vector(space, row, query_of(entry.vector))
        return row

    def add_many(self, entries: Sequence[Entry], stats: Sequence[EntryStats | None]) -> int:
        """Add entries, in the order of their ids, to an index that none has left; returns the first of their rows.

        Their rows stand side by side. The caller puts their vectors into the tables. Raises ValueError for ids that
        do not rise.
        """
        first, end = self._used, self._used + len(entries)
        ids = [entry.id for entry in entries]
        self._rows.put_many(ids, first)
        self._grow(end)
        rows = slice(first, end)
        self._used = end
        self._ids[rows] = ids
        self._admitted[rows] = [entry.admitted_at_ms for entry in entries]
        self._stale[rows] = [used is not None and used.stale_served for used in stats]
        self._forwards[rows] = [forward_key(entry.forward_id) for entry in entries]
        by_category: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            by_category[entry.category].append(entry.id)
            if entry.expires_at_ms is not None:
                self._deadlines.enter(entry.id, entry.expires_at_ms)
        for category, entered in by_category.items():
            self.expiry.enter_many(category, entered)
        numbers = [self._space_number(namespace_of_key(entry)) for entry in entries]
        self._space_of[rows] = numbers
        for number in numbers:
            self._space_counts[number] += 1
        self._texts.add_many([text_key(each.space, each.category, each.text_digest) for each in entries], first)
        self._quotas.enter_many(first, entries, stats)
        return first

    def append_vectors(self, rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16]) -> None:
        """Put vectors of record (n, dim) of rows into the tables of their namespaces, none of which is an ann one.

        Raises ValueError for a vector without length.
        """
        dim = ints.shape[1]
        units = self._tables_with(dim).units_of(rows, ints)
        numbers = self._space_of[rows]
        order = np.argsort(numbers, kind="stable")
        cuts = np.flatnonzero(np.diff(numbers[order])) + 1
        for places in np.split(order, cuts):
            tables, table = self._table_of(int(numbers[places[0]]), dim)
            tables.append(table, rows[places], units[places])

    def add_vector(self, space: bytes, row: int, query: QueryVector) -> None:
        """Put the vector of a row into its namespace's table."""
        tables, table = self._table(space, len(query.ints))
        tables.add(table, row, query)

    def remove(self, indexed: IndexedEntry, entry: Entry) -> None:
        """Remove an entry."""
        row = indexed.row
        if entry.vector is not None:
            tables, table = self._by_space[int(self._space_of[row])]
            tables.remove(table, row)
            if not len(table):
                # A restored shard has no table either where only entries without a vector are left.
                del self._by_space[int(self._space_of[row])]
        text = text_key(entry.space, entry.category, entry.text_digest)
        self._texts.remove(text, row)
        self._quotas.leave(row)
        self._rows.drop(indexed.id)
        self._ids[row] = -1
        self._free.append(row)
        self.expiry.leave(entry.category, self._admitted_at)
        self._leave_space(int(self._space_of[row]))

    def use(self, indexed: IndexedEntry, stats: EntryStats) -> None:
        """Record a use of an entry."""
        self._stale[indexed.row] = stats.stale_served
        self._quotas.use(indexed.row, stats)

    def follow(self, policy: Policy) -> None:
        """Adopt a policy: guarantees, cost and eviction order."""
        self._quotas.follow(policy)

    def age(self, id_: str, aging: Aging) -> None:
        """Set the aging base of a quota bucket or of the whole shard."""
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

    def load_graph(self, space: bytes, graph: SavedGraph) -> None:
        """Give an ann namespace that holds no vector yet a saved graph. Raises ValueError for a file that is none."""
        tables, table = self._table(space, graph.dim)
        tables.load(table, graph, EF_AT_FIRST)

    def adopt(
        self,
        space: bytes,
        rows: npt.NDArray[np.int32],
        ints: npt.NDArray[np.int16],
        labels: npt.NDArray[np.int64],
    ) -> None:
        """Give vectors of record (n, dim) that the namespace's loaded graph has, by label, to their rows."""
        tables, table = self._table(space, ints.shape[1])
        tables.adopt(table, rows, ints, labels)

    def drop_orphans(self, space: bytes, labels: Sequence[int], batch: int, threads: int) -> None:
        """Remove what nobody has adopted from the loaded graph of a namespace.

        Where that is so much that a new graph is better, it is built from the entries in the order of their ids.
        """
        place = self._place(space)
        if place is None:
            return
        tables, table = place
        if table.hnsw is None:
            return
        table.hnsw.drop_orphans(labels)
        if table.hnsw.is_worn:
            rows = np.array(table.hnsw.owners(), dtype=np.int32)
            tables.renew(table, rows[np.argsort(self._ids[rows])], EF_AT_FIRST, batch, threads)

    def graphs(self) -> Iterator[bytes]:
        """The namespaces that an HNSW holds whole: those whose graphs can be saved."""
        for space, number in self._space_numbers.items():
            place = self._by_space.get(number)
            if place is not None and place[1].hnsw is not None and place[1].block is None:
                yield space

    def save_graph(self, space: bytes, path: Path) -> SavedGraph:
        """Save the graph of a namespace into a file.

        Raises LookupError for a namespace that has none, and OSError when the disk does not take it.
        """
        place = self._place(space)
        if place is None or place[1].hnsw is None:
            raise LookupError("the namespace has no graph")
        owners = place[1].hnsw.save(path)
        ids = np.where(owners == GONE, GONE, self._ids[owners])
        return SavedGraph(path, place[0].dim, ids.astype(np.int64))

    # -- inside ---------------------------------------------------------------------------------------

    def _place(self, space: bytes) -> tuple[Tables, Table] | None:
        number = self._space_numbers.get(space)
        return None if number is None else self._by_space.get(number)

    def _table(self, space: bytes, dim: int) -> tuple[Tables, Table]:
        return self._table_of(self._space_number(space), dim)

    def _table_of(self, number: int, dim: int) -> tuple[Tables, Table]:
        place = self._by_space.get(number)
        if place is None:
            tables = self._tables_with(dim)
            place = self._by_space[number] = (tables, Table())
            if self._modes.get(self._space_names[number]) == "ann":
                tables.become_ann(place[1], EF_AT_FIRST)
        return place

    def _tables_with(self, dim: int) -> Tables:
        tables = self._tables.get(dim)
        if tables is None:
            tables = self._tables[dim] = self._tables_of(dim)
        return tables

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
        self._grow(self._used + 1)
        self._used += 1
        return self._used - 1

    def _grow(self, rows: int) -> None:
        """Make room for so many rows in all columns."""
        while rows > len(self._ids):
            for name in ("_ids", "_admitted", "_stale", "_forwards", "_space_of"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate((column, np.zeros_like(column))))
            self._quotas.usage.reserve(len(self._ids))
