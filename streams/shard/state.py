"""What a shard knows: indexes in memory over a store on disk, with the changes not committed yet between them.

`apply` is the only writer. What it takes are changes of records, so that the same calls build a shard
from its store (`restored`) and move it on (`fold`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np

from schemas.base import Part, Sealed
from schemas.documents import (
    Aging,
    Doubt,
    Entry,
    EntryStats,
    Flight,
    Judged,
    Meta,
    Opinion,
    ShardLoad,
    ShardPolicy,
    Switched,
    TableMode,
    Tally,
    Waiting,
    Withdrawal,
)
from streams import entry_ids, guards
from streams.answers import digest_of_answer
from streams.effective import lifetime_max, relaxation
from streams.errors import ShardBroken, StoreDamaged
from streams.shard import columns
from streams.shard.columns import Change, key_of
from streams.shard.doubts import Doubts, Opinions
from streams.shard.entries import EntryIndex, Seen, namespace_of
from streams.shard.flights import Flights
from streams.shard.tables import Query
from streams.shard.tallies import Tallies
from streams.store import Reach, Store
from streams.vectors import Ints, decode

BUILD_BATCH = 4_096
_SETTLED = (
    columns.POLICIES,
    columns.AGING,
    columns.LOADS,
    columns.WITHDRAWALS,
    columns.BANNED,
    columns.JUDGED,
    columns.SWITCHES,
    columns.DOUBTS,
    columns.OPINIONS,
    columns.TALLIES,
)
"""Columns whose records are restored one by one, in any order."""
BEHAVIOUR = f"fold-3/{guards.DIGEST}"
"""The version of fold and guards; a change that decides otherwise needs another."""


class _Answer(Part):
    """The part of an entry that a hit needs: the rest is not worth building."""

    question: Sealed
    answer: Sealed
    answer_digest: str = ""
    latency_ms: int = 0
    tokens: int = 0


class Kept(NamedTuple):
    """What is known of a kept answer: its question, its JSON, its digest, and what the model took for it."""

    question: str
    text: str
    digest: str
    latency_ms: int
    tokens: int


class Shard:
    """One journal partition's state. Not thread-safe; one worker has it at a time."""

    def __init__(
        self, partition: int, shards: int, incarnation: str, store: Store, entries: EntryIndex | None = None
    ) -> None:
        """An empty shard. `entries` is an empty index, where it is to be another than the usual."""
        self.partition = partition
        self.shards = shards
        self.incarnation = incarnation
        self.store = store
        self.entries = EntryIndex() if entries is None else entries
        self.flights = Flights()
        self.policy: ShardPolicy | None = None
        self.loads: dict[str, ShardLoad] = {}
        self.lives: dict[str, int] = {}
        """How long (ms) an entry of each category is kept at most."""
        self.withdrawals: dict[str, Withdrawal] = {}
        self.banned: dict[str, set[str]] = {}
        """Digests of answers judged wrong, by namespace (hex)."""
        self.judged: dict[str, str] = {}
        """The last judgements of each category: see `Judged`."""
        self.switches: dict[str, int] = {}
        """What is switched off, with the version of the command: categories, or all."""
        self.doubts = Doubts()
        self.opinions = Opinions()
        self.tallies = Tallies()
        self._kept: tuple[int, Kept] | None = None
        """The entry that was fetched last: guarded first, it is served next."""
        self.next_offset = 0
        self.time_ms = 0
        self.highwater: dict[str, int] = {}
        self.overlay: dict[bytes, bytes | None] = {}
        """Changes that no commit has taken yet."""
        self.frozen: dict[bytes, bytes | None] = {}
        """Changes, with `meta`, that a commit under way has taken."""
        self.overlay_bytes = 0
        self.recent: dict[bytes, bytes | None] = {}
        """Changes of the record being folded."""

    # -- reading --------------------------------------------------------------------------------------

    def document(self, column: str, id_: str) -> bytes | None:
        """The record of the store, changes not committed yet included."""
        key = key_of(column, id_)
        for changes in (self.overlay, self.frozen):
            if key in changes:
                return changes[key]
        return self.store.get(key)

    def entry(self, seen: Seen) -> Entry:
        """The whole entry, with its digest. Raises StoreDamaged when index and store disagree."""
        entry = Entry.decode(self._entry_bytes(seen))
        return entry if entry.answer_digest else entry.model_copy(update={"answer_digest": _digest(entry.answer)})

    def kept(self, seen: Seen) -> Kept:
        """The kept answer of an entry. Raises StoreDamaged when index and store disagree."""
        if self._kept is None or self._kept[0] != seen.id:
            part = _Answer.model_validate_json(self._entry_bytes(seen))
            digest = part.answer_digest or _digest(part.answer)
            kept = Kept(part.question.data, part.answer.data, digest, part.latency_ms, part.tokens)
            self._kept = (seen.id, kept)
        return self._kept[1]

    def opinion(self, number: int, text_digest: str) -> Opinion | None:
        """The second opinion on an entry beside a text, None when none is remembered."""
        return self.opinions.get(number, text_digest)

    def _entry_bytes(self, seen: Seen) -> bytes:
        found = self.document(columns.ENTRIES, columns.entry_id(seen.id))
        if found is None:
            raise StoreDamaged(f"entry {seen.id} of shard {self.partition} is in the index and not in the store")
        return found

    def load_of(self, model: str) -> float:
        """The load of a model at the shard's time; 0 when none was reported or the report ran out."""
        known = self.loads.get(model)
        return known.load if known is not None and known.valid_until_ms > self.time_ms else 0.0

    def is_off(self, category: str) -> bool:
        """Whether the cache is switched off for the category."""
        return category in self.switches or columns.ALL in self.switches

    def relaxation(self, category: str, bound: float) -> float:
        """How far load may relax the category, after its judgements."""
        return relaxation(self.judged.get(category, ""), bound)

    def wire_id(self, number: int) -> str:
        """An entry's id outside its shard: partition, the offset that admitted it, and the journal's incarnation."""
        return entry_ids.wire_id(self.partition, number, self.incarnation)

    def meta(self) -> Meta:
        """How far the shard has folded."""
        return Meta(
            partition=self.partition,
            incarnation=self.incarnation,
            shards=self.shards,
            next_offset=self.next_offset,
            time_ms=self.time_ms,
            behaviour=BEHAVIOUR,
            highwater=self.highwater,
        )

    # -- writing --------------------------------------------------------------------------------------

    def apply(self, changes: Iterable[Change]) -> None:
        """Take changes into the indexes and the overlay. Raises ShardBroken; then the shard must not be used again."""
        for change in changes:
            try:
                self._index(change)
            except Exception as error:
                raise ShardBroken(f"shard {self.partition}: {change.column}/{change.id}: {error!r}") from error
            key = key_of(change.column, change.id)
            value = None if change.message is None else change.message.encode()
            self.recent[key] = value
            if value is None and change.column in columns.WRITTEN_ONCE and self.overlay.get(key) is not None:
                # It came and went between two commits: neither store nor `documents` need hear of it.
                del self.overlay[key]
                continue
            self.overlay[key] = value
            self.overlay_bytes += len(key) + len(value or b"")

    def freeze(self) -> dict[bytes, bytes | None]:
        """All changes since the last commit, with `meta`: what the next one writes. Folding may go on meanwhile."""
        if self.frozen:
            raise ValueError("one commit at a time")
        for column, id_, message in self.tallies.changes():
            self.overlay[key_of(column, id_)] = None if message is None else message.encode()
        self.frozen = {**self.overlay, columns.META_KEY: self.meta().encode()}
        self.overlay = {}
        self.overlay_bytes = 0
        return self.frozen

    def thaw(self) -> None:
        """The commit came to nothing: its changes are part of the next one."""
        del self.frozen[columns.META_KEY]
        self.overlay = {**self.frozen, **self.overlay}
        self.overlay_bytes = sum(len(key) + len(value or b"") for key, value in self.overlay.items())
        self.frozen = {}

    def committed(self, reach: Reach) -> None:
        """What was frozen is in `documents`: write it to the store."""
        self.store.write(self.frozen, reach)
        self.frozen = {}

    def _index(self, change: Change) -> None:
        column, id_, message = change
        match column:
            case columns.ENTRIES:
                if message is None:
                    self._remove_entry(int(id_))
                else:
                    self.entries.add(cast(Entry, message))
            case columns.STATS:
                if message is not None:
                    stats = cast(EntryStats, message)
                    seen = self._row_of(int(id_))
                    if seen is not None:
                        self.entries.use(seen, stats)
            case columns.FLIGHTS:
                if message is None:
                    self.flights.land(id_)
                else:
                    self.flights.open(cast(Flight, message))
            case columns.WAITING:
                if message is None:
                    self.flights.leave(id_)
                else:
                    self.flights.wait(cast(Waiting, message))
            case columns.TABLES:
                mode = cast(TableMode, message)
                self.entries.set_mode(bytes.fromhex(id_), mode.search)
            case columns.POLICIES:
                self.policy = cast(ShardPolicy, message)
                self.entries.follow(self.policy.policy)
                self.lives = {name: lifetime_max(of) for name, of in self.policy.policy.categories.items()}
            case columns.AGING:
                self.entries.age(id_, cast(Aging, message))
            case columns.LOADS:
                self.loads[id_] = cast(ShardLoad, message)
            case columns.WITHDRAWALS:
                if message is None:
                    del self.withdrawals[id_]
                else:
                    self.withdrawals[id_] = cast(Withdrawal, message)
            case columns.BANNED:
                namespace, answer = entry_ids.parts_of_ban_id(id_)
                self.banned.setdefault(namespace, set()).add(answer)
            case columns.JUDGED:
                self.judged[id_] = cast(Judged, message).recent
            case columns.SWITCHES:
                if message is None:
                    del self.switches[id_]
                else:
                    self.switches[id_] = cast(Switched, message).version
            case columns.DOUBTS:
                if message is None:
                    self.doubts.end(id_)
                else:
                    self.doubts.put(id_, cast(Doubt, message))
            case columns.OPINIONS:
                number, text = columns.parts_of_opinion_id(id_)
                if message is None:
                    self.opinions.drop(number, text)
                else:
                    self.opinions.put(number, text, cast(Opinion, message))
            case columns.TALLIES:
                self.tallies.restore(id_, cast(Tally, message))
            case _:
                raise ValueError(f"no column {column}")

    def _remove_entry(self, number: int) -> None:
        seen = self._row_of(number)
        found = self.document(columns.ENTRIES, columns.entry_id(number))
        if seen is None or found is None:
            raise StoreDamaged(f"entry {number} of shard {self.partition} is not there to be removed")
        self.entries.remove(seen, Entry.decode(found))

    def _row_of(self, number: int) -> Seen | None:
        return self.entries.by_id(number)


def _digest(answer: Sealed) -> str:
    """Of an entry that was kept without: what is judged by its answer must have one."""
    return digest_of_answer(json.loads(answer.data))


def restored(partition: int, shards: int, incarnation: str, store: Store, threads: int = 1) -> Shard:
    """A shard from its store: entries in the order of their ids, then all that refers to them.

    Raises StoreDamaged when a record cannot be read.
    """
    shard = Shard(partition, shards, incarnation, store)
    try:
        _restore_meta(shard)
        _restore_entries(shard, threads)
        for column in _SETTLED:
            for id_, value in _rows(store, column):
                shard._index(Change(column, id_, columns.MESSAGES[column].decode(value)))
        flights = [Flight.decode(value) for _, value in _rows(store, columns.FLIGHTS)]
        for flight in sorted(flights, key=lambda f: f.offset):
            shard.flights.open(flight)
        waiting = [Waiting.decode(value) for _, value in _rows(store, columns.WAITING)]
        for each in sorted(waiting, key=lambda w: w.offset):
            shard.flights.wait(each)
    except (ValueError, KeyError) as error:
        raise StoreDamaged(f"the store of shard {partition} cannot be read: {error}") from error
    return shard


def _rows(store: Store, column: str) -> Iterable[tuple[str, bytes]]:
    prefix = f"{column}/".encode()
    for key, value in store.scan(prefix):
        yield key[len(prefix) :].decode(), value


def _restore_meta(shard: Shard) -> None:
    found = shard.store.get(columns.META_KEY)
    if found is None:
        return
    meta = Meta.decode(found)
    shard.next_offset = meta.next_offset
    shard.time_ms = meta.time_ms
    shard.highwater = dict(meta.highwater)


def _restore_entries(shard: Shard, threads: int) -> None:
    stats = {id_: EntryStats.decode(value) for id_, value in _rows(shard.store, columns.STATS)}
    for id_, value in _rows(shard.store, columns.TABLES):
        shard.entries.set_mode(bytes.fromhex(id_), TableMode.decode(value).search)
    large: dict[bytes, tuple[list[int], list[Ints]]] = {}
    """Vectors on their way into an HNSW, a batch at a time: all at once would take the room of another shard."""
    for id_, value in _rows(shard.store, columns.ENTRIES):
        entry = Entry.decode(value)
        space = namespace_of(entry.space, entry.category, entry.embedder, entry.context)
        ann = entry.vector is not None and shard.entries.mode(space) == "ann"
        row = shard.entries.add(entry, stats.get(id_), into_table=not ann)
        if ann and entry.vector is not None:
            rows, vectors = large.setdefault(space, ([], []))
            rows.append(row)
            vectors.append(decode(entry.vector))
            if len(rows) == BUILD_BATCH:
                _build(shard, space, large.pop(space), threads)
    for space, batch in large.items():
        _build(shard, space, batch, threads)


def _build(shard: Shard, space: bytes, batch: tuple[list[int], list[Ints]], threads: int) -> None:
    rows, vectors = batch
    shard.entries.build(space, np.array(rows, dtype=np.int32), np.stack(vectors), threads)


def query_of(vector: str | None) -> Query | None:
    """A vector on the wire as a query. Raises ValueError for one that is none."""
    return None if vector is None else Query.of(decode(vector))
