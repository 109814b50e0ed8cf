"""State of a shard: indexes in memory over a store on disk, with the uncommitted changes between them.

`apply` is the only writer. What it takes are changes of records, so that the same calls build a shard
from its store (`load_shard`) and move it on (`fold`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from refrain.schemas.base import Part, Sealed, TextSide
from refrain.schemas.documents import Entry, Meta, Opinion, ShardLoad, ShardPolicy, Withdrawal
from refrain.schemas.policy import CategoryPolicy
from refrain.schemas.topics import DOCUMENT_BYTES_MAX
from refrain.streams import guards
from refrain.streams.errors import ChangeTooLarge, ShardBroken, StoreDamaged
from refrain.streams.lru import LruCache
from refrain.streams.messaging import ids
from refrain.streams.messaging.responses import digest_of_answer
from refrain.streams.messaging.validation import without_quotes
from refrain.streams.models.hit_head import PairHead
from refrain.streams.shard import columns
from refrain.streams.shard.adaptation import KnownTerms
from refrain.streams.shard.columns import Change, Column
from refrain.streams.shard.counters import Counters
from refrain.streams.shard.in_flight import InFlight
from refrain.streams.shard.index.entries import EntryIndex, IndexedEntry
from refrain.streams.shard.index.vector_tables import Tables
from refrain.streams.shard.skips import Skips
from refrain.streams.shard.tenants import Tenants
from refrain.streams.shard.verifications import PendingVerifications, VerificationScores
from refrain.streams.store.interface import Checkpoint, Store

BEHAVIOUR = f"fold-11/{guards.DIGEST}"
"""The version of fold and guards; a change that decides otherwise needs another."""
ANSWERS_REMEMBERED = 64
"""Answers that a shard remembers, those of late: what is asked again and again is read once."""
ANSWER_CHARS_REMEMBERED = 4_000
"""Characters of an answer and its question; of those that have more no more than one is remembered."""


class _Answer(Part):
    """The part of an entry that a hit needs: the rest is not worth building."""

    tenant: str
    question: Sealed
    text_side: TextSide | None = None
    answer: Sealed
    answer_digest: str = ""
    latency_ms: int = 0
    tokens: int = 0


class StoredAnswer(NamedTuple):
    """Stored answer: who asked for it, its question, its JSON, its digest, and what the model took for it."""

    tenant: str
    question: str
    text_side: TextSide | None
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
        self._answers: LruCache[int, StoredAnswer] = LruCache(ANSWERS_REMEMBERED)
        """Answers of late, by the numbers of their entries, which are never used again."""
        self._large_answer: tuple[int, StoredAnswer] | None = None
        """The last one that is too large to be among them: guarded first, it is served next."""
        self.next_offset = 0
        self.time_ms = 0
        self.highwater: dict[str, int] = {}
        self.uncommitted: dict[bytes, bytes | None] = {}
        """Changes that no commit has taken yet."""
        self.committing: dict[bytes, bytes | None] = {}
        """Changes, with `meta`, that a commit under way has taken."""
        self.uncommitted_bytes = 0
        self.recent: dict[bytes, bytes | None] = {}
        """Changes of the record being folded."""

    # -- reading --------------------------------------------------------------------------------------

    def document(self, column: Column[Any], id_: str) -> bytes | None:
        """The record of the store, changes not committed yet included."""
        key = column.key(id_)
        for changes in (self.uncommitted, self.committing):
            if key in changes:
                return changes[key]
        return self.store.get(key)

    def entry(self, indexed: IndexedEntry) -> Entry:
        """The whole entry, with its digest. Raises StoreDamaged when index and store disagree."""
        entry = Entry.decode(self._entry_bytes(indexed))
        return entry if entry.answer_digest else entry.model_copy(update={"answer_digest": _digest(entry.answer)})

    def stored_answer(self, indexed: IndexedEntry) -> StoredAnswer:
        """The stored answer of an entry. Raises StoreDamaged when index and store disagree."""
        known = self._answers.get(indexed.id)
        if known is not None:
            return known
        if self._large_answer is not None and self._large_answer[0] == indexed.id:
            return self._large_answer[1]
        kept = _stored(self._entry_bytes(indexed))
        if len(kept.text) + len(kept.question) > ANSWER_CHARS_REMEMBERED:
            self._large_answer = indexed.id, kept
        else:
            self._answers.put(indexed.id, kept)
        return kept

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
        """Apply changes to the indexes and `uncommitted`. Raises ShardBroken; then the shard must not be used again.

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
            key = change.key
            self.recent[key] = value
            if value is None and change.column.written_once and self.uncommitted.get(key) is not None:
                # It came and went between two commits: neither store nor `documents` need hear of it.
                del self.uncommitted[key]
                continue
            self.uncommitted[key] = value
            self.uncommitted_bytes += len(key) + len(value or b"")

    def begin_commit(self) -> dict[bytes, bytes | None]:
        """Begin a commit: all changes since the last one, with `meta`, to be written. Folding may go on meanwhile."""
        if self.committing:
            raise ValueError("one commit at a time")
        for category, tally in self.counters.moved().items():
            self.uncommitted[columns.TALLIES.key(category)] = tally.encode()
        self.committing = {**self.uncommitted, columns.META_KEY: self.meta().encode()}
        self.uncommitted = {}
        self.uncommitted_bytes = 0
        return self.committing

    def abort_commit(self) -> None:
        """Abort a commit: its changes become part of the next one."""
        del self.committing[columns.META_KEY]
        self.uncommitted = {**self.committing, **self.uncommitted}
        self.uncommitted_bytes = sum(len(key) + len(value or b"") for key, value in self.uncommitted.items())
        self.committing = {}

    def finish_commit(self, reach: Checkpoint) -> None:
        """Finish a commit: its changes are in `documents`; write them to the store."""
        self.store.write(self.committing, reach)
        self.committing = {}


def _stored(entry: bytes) -> StoredAnswer:
    """The stored answer in the record of an entry."""
    part = _Answer.model_validate_json(entry)
    digest = part.answer_digest or _digest(part.answer)
    return StoredAnswer(
        part.tenant, part.question.data, part.text_side, part.answer.data, digest, part.latency_ms, part.tokens
    )


def _digest(answer: Sealed) -> str:
    """Answer digest of an entry that was stored without one: judgements by answer need it."""
    return digest_of_answer(json.loads(answer.data))
