"""Index of a shard's entries: what a decision needs of each without fetching its document.

Rows are numbers that are reused; columns of numbers take less memory than objects.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refrain.schemas.base import QuestionKey
from refrain.schemas.documents import Aging, Entry, EntryStats
from refrain.schemas.policy import Policy
from refrain.streams.shard.eviction.expiry import Deadlines, ExpiryQueues
from refrain.streams.shard.eviction.quotas import Admissions, QuotaBucket, Quotas
from refrain.streams.shard.index.hnsw import GONE, SavedGraph
from refrain.streams.shard.index.namespaces import EF_AT_FIRST, Namespaces
from refrain.streams.shard.index.rows import RowsById, RowsByText
from refrain.streams.shard.index.vector_tables import QueryVector, Search, Tables, VectorMatch, query_of

DIGESTS_REMEMBERED = 1_024
"""Namespaces, and texts, of which the digest is remembered: one is asked for several times a question."""


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
        self.namespaces = Namespaces(tables)
        self._rows = RowsById()
        self._ids = np.full(16, -1, dtype=np.int64)
        self._admitted = np.zeros(16, dtype=np.int64)
        self._stale = np.zeros(16, dtype=np.bool_)
        self._forwards = np.zeros(16, dtype=np.int64)
        """Of the forward that brought each."""
        self.expiry = ExpiryQueues()
        self._deadlines = Deadlines()
        self._quotas = Quotas()
        self._space_of = np.zeros(16, dtype=np.int32)
        self._texts = RowsByText()
        self._free: list[int] = []
        self._used = 0

    def __len__(self) -> int:
        return len(self._rows)

    # -- asking ---------------------------------------------------------------------------------------

    def exact(self, space: bytes, text: bytes) -> IndexedEntry | None:
        """The entry of the same text in the namespace."""
        number = self.namespaces.number(space)
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
        place = self.namespaces.place(space)
        if place is None:
            return None, []
        tables, table = place
        if tables.dim != len(query.ints):
            raise ValueError(f"the vector has {len(query.ints)} dimensions, the table {tables.dim}")
        found = tables.search(table, query, count, floor, ef)
        found.sort(key=lambda each: (-each.similarity, self._ids.item(each.row)))
        return table.search, [(each, self.at_row(each.row)) for each in found[:count]]

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
        self._space_of[row] = self.namespaces.enter(space)
        text = text_key(entry.space, entry.category, entry.text_digest)
        self._texts.add(text, row)
        self._quotas.enter(row, entry, stats)
        if entry.vector is not None:
            self.namespaces.add_vector(space, row, query_of(entry.vector))
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
        self._space_of[rows] = [self.namespaces.enter(namespace_of_key(entry)) for entry in entries]
        self._texts.add_many([text_key(each.space, each.category, each.text_digest) for each in entries], first)
        self._quotas.enter_many(first, entries, stats)
        return first

    def append_vectors(self, rows: npt.NDArray[np.int32], ints: npt.NDArray[np.int16]) -> None:
        """Put vectors of record (n, dim) of rows into the tables of their namespaces, none of which is an ann one.

        Raises ValueError for a vector without length.
        """
        self.namespaces.append_vectors(self._space_of[rows], rows, ints)

    def remove(self, indexed: IndexedEntry, entry: Entry) -> None:
        """Remove an entry."""
        row = indexed.row
        if entry.vector is not None:
            self.namespaces.remove_vector(int(self._space_of[row]), row)
        text = text_key(entry.space, entry.category, entry.text_digest)
        self._texts.remove(text, row)
        self._quotas.leave(row)
        self._rows.drop(indexed.id)
        self._ids[row] = -1
        self._free.append(row)
        self.expiry.leave(entry.category, self._admitted_at)
        self.namespaces.leave(int(self._space_of[row]))

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

    def drop_orphans(self, space: bytes, labels: Sequence[int], batch: int, threads: int) -> None:
        """Remove what nobody has adopted from the loaded graph of a namespace.

        Where that is so much that a new graph is better, it is built from the entries in the order of their ids.
        """
        place = self.namespaces.place(space)
        if place is None:
            return
        tables, table = place
        if table.hnsw is None:
            return
        table.hnsw.drop_orphans(labels)
        if table.hnsw.is_worn:
            rows = np.array(table.hnsw.owners(), dtype=np.int32)
            tables.renew(table, rows[np.argsort(self._ids[rows])], EF_AT_FIRST, batch, threads)

    def save_graph(self, space: bytes, path: Path) -> SavedGraph:
        """Save the graph of a namespace into a file.

        Raises LookupError for a namespace that has none, and OSError when the disk does not take it.
        """
        place = self.namespaces.place(space)
        if place is None or place[1].hnsw is None:
            raise LookupError("the namespace has no graph")
        owners = place[1].hnsw.save(path)
        ids = np.where(owners == GONE, GONE, self._ids[owners])
        return SavedGraph(path, place[0].dim, ids.astype(np.int64))

    # -- inside ---------------------------------------------------------------------------------------

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
