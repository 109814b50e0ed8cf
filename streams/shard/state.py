"""State of a shard: indexes in memory over a store on disk, with the uncommitted changes between them.

`apply` is the only writer. What it takes are changes of records, so that the same calls build a shard
from its store (`load_shard`) and move it on (`fold`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from refrain.schemas.documents import Entry, Meta, Opinion, ShardLoad, ShardPolicy, Withdrawal
from refrain.schemas.policy import CategoryPolicy
from refrain.schemas.topics import DOCUMENT_BYTES_MAX
from refrain.streams.errors import ChangeTooLarge, ShardBroken, StoreDamaged
from refrain.streams.messaging import ids
from refrain.streams.messaging.validation import without_quotes
from refrain.streams.models.hit_head import PairHead
from refrain.streams.shard import columns
from refrain.streams.shard.adaptation import KnownTerms
from refrain.streams.shard.behaviour import BEHAVIOUR
from refrain.streams.shard.columns import Change, Column
from refrain.streams.shard.counters import Counters
from refrain.streams.shard.in_flight import InFlight
from refrain.streams.shard.index.entries import EntryIndex, IndexedEntry
from refrain.streams.shard.index.vector_tables import QueryVector, Tables
from refrain.streams.shard.overlay import Overlay, Rows
from refrain.streams.shard.skips import Skips
from refrain.streams.shard.stored_answers import AnswerCache, StoredAnswer, stored_digest
from refrain.streams.shard.tenants import Tenants
from refrain.streams.shard.verifications import PendingVerifications, VerificationScores
from refrain.streams.store.interface import Checkpoint, Store


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
        self.entries = EntryIndex(partial(Tables, folder=store.folder)) if entries is None else entries
        self.flights = InFlight()
        self.policy: ShardPolicy | None = None
        self.heads: dict[str, PairHead] = {}
        """The trained heads of the policy, by version."""
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
        self.pending_verifications = PendingVerifications()
        self.verification_scores = VerificationScores()
        self.terms = KnownTerms()
        self.counters = Counters()
        self.tenants = Tenants()
        self.skips = Skips()
        self._answers = AnswerCache()
        self.overlay = Overlay()
        self.next_offset = 0
        self.time_ms = 0
        self.highwater: dict[str, int] = {}

    # -- reading --------------------------------------------------------------------------------------

    def document(self, column: Column[Any], id_: str) -> bytes | None:
        """The record of the store, changes not committed yet included."""
        key = column.key(id_)
        return self.overlay.get(key) if self.overlay.holds(key) else self.store.get(key)

    def entry(self, indexed: IndexedEntry) -> Entry:
        """The whole entry, with its digest. Raises StoreDamaged when index and store disagree."""
        entry = Entry.decode(self._entry_bytes(indexed))
        return entry if entry.answer_digest else entry.model_copy(update={"answer_digest": stored_digest(entry.answer)})

    def stored_answer(self, indexed: IndexedEntry) -> StoredAnswer:
        """The stored answer of an entry. Raises StoreDamaged when index and store disagree."""
        known = self._answers.get(indexed.id)
        if known is None:
            known = StoredAnswer.of(self._entry_bytes(indexed))
            self._answers.put(indexed.id, known)
        return known

    def opinion(self, number: int, text_digest: str) -> Opinion | None:
        """The verifier's score of an entry for a question text, None when none is stored."""
        return self.verification_scores.get(number, text_digest)

    def _entry_bytes(self, indexed: IndexedEntry) -> bytes:
        found = self.document(columns.ENTRIES, columns.entry_id(indexed.id))
        if found is None:
            raise StoreDamaged(f"entry {indexed.id} of shard {self.partition} is in the index and not in the store")
        return found

    def load_of(self, model: str) -> float:
        """The load of a model at the shard's time; 0 when none was reported or the report ran out."""
        known = self.loads.get(model)
        return known.load if known is not None and known.valid_until_ms > self.time_ms else 0.0

    def head_of(self, category: CategoryPolicy) -> PairHead | None:
        """The trained head of a category of the policy, None where it has none."""
        return None if category.hit_head is None else self.heads.get(category.hit_head)

    def check_dimensions(self, namespace: bytes, query: QueryVector | None) -> None:
        """Raise ValueError for a vector that cannot be compared with those that the namespace has, or waits for."""
        if query is None:
            return
        for known in (self.entries.namespaces.dimensions(namespace), self.flights.dimensions(namespace)):
            if known not in (None, len(query.ints)):
                raise ValueError(f"a vector of {len(query.ints)} dimensions where others have {known}")

    def is_off(self, category: str) -> bool:
        """Whether the cache is switched off for the category."""
        return category in self.switches or columns.ALL in self.switches

    def wire_id(self, number: int) -> str:
        """An entry's id outside its shard: partition, the offset that admitted it, and the journal's incarnation."""
        return ids.wire_id(self.partition, number, self.incarnation)

    def meta(self) -> Meta:
        """Progress record: how far the shard has folded."""
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
        """Apply changes to the indexes and the overlay. Raises ShardBroken; then the shard must not be used again.

        Raises ChangeTooLarge, before anything has changed, when `documents` does not take one of them.
        """
        encoded = [(change, None if change.message is None else change.message.encode()) for change in changes]
        for change, value in encoded:
            if value is not None and len(value) > DOCUMENT_BYTES_MAX:
                raise ChangeTooLarge(f"a record of {change.column.name} takes {len(value)} bytes")
        for change, value in encoded:
            try:
                change.column.apply(self, change.id, change.message)
            except Exception as error:
                # Not what the error says: that may quote a record.
                said = without_quotes(error)
                raise ShardBroken(f"shard {self.partition}: {change.key.decode()}: {said}") from error
            self.overlay.put(change.key, value, written_once=change.column.written_once)

    def begin_commit(self) -> Rows:
        """Begin a commit: all changes since the last one, with `meta`, to be written. Folding may go on meanwhile."""
        tallies = {columns.TALLIES.key(category): tally.encode() for category, tally in self.counters.moved().items()}
        return self.overlay.begin_commit({**tallies, columns.META_KEY: self.meta().encode()})

    def abort_commit(self) -> None:
        """Abort a commit: its changes become part of the next one."""
        self.overlay.abort_commit(without=columns.META_KEY)

    def finish_commit(self, reach: Checkpoint) -> None:
        """Finish a commit: its changes are in `documents`; write them to the store."""
        self.store.write(self.overlay.committing, reach)
        self.overlay.finish_commit()
