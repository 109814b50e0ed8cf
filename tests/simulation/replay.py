"""Replay: folds the whole journal again, from its first record, in memory, as an audit does.

Where a namespace was past the switch to HNSW, what the live search found depends on how its graph grew. There the
fold takes the candidates that the live decision names, after it has made sure of each (alive, in the namespace, as
similar as was said, by integer arithmetic); and it scans as well, to count what the index did not find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from refrain.ops.ask.client import HEADER
from refrain.schemas.decisions import Candidate, Decision
from refrain.schemas.journal import AnswerWithheld, Asked
from refrain.streams.kafka.interface import Cluster, Outgoing, Record
from refrain.streams.messaging.ids import parse_entry_id
from refrain.streams.shard.columns import ENTRIES, entry_id
from refrain.streams.shard.counts import Counted
from refrain.streams.shard.fold import fold
from refrain.streams.shard.index.entries import EntryIndex, IndexedEntry, namespace_of
from refrain.streams.shard.index.vector_tables import QueryVector, Search, Table, Tables, VectorMatch
from refrain.streams.shard.state import Shard
from refrain.streams.store.memory import MemoryStore
from refrain.streams.vectors import cosine, decode
from tests.simulation.records import State, header, read_all

Searched = tuple[Search | None, list[tuple[VectorMatch, IndexedEntry]]]


@dataclass
class Replayed:
    """Result of replaying one shard's journal."""

    decisions: dict[str, bytes] = field(default_factory=dict)
    twice: int = 0
    responses: dict[bytes, bytes] = field(default_factory=dict)
    """By ask id."""
    state: State = field(default_factory=dict)
    """At `until`."""
    withheld: set[str] = field(default_factory=set)
    """Forwards whose answers went straight to the requester."""
    counts: Counter[str] = field(default_factory=Counter)
    """Evictions, `ann` (searches of an HNSW), `ann_missed` and `ann_lesser` (it found nothing, or not the best)."""
    wrong: list[str] = field(default_factory=list)
    """Candidates of live decisions that could not be confirmed."""


def replay(log: Cluster, live: Mapping[str, Decision], until: Mapping[int, int]) -> list[Replayed]:
    """Fold every shard's journal. `until` is the offset by shard at which its state is taken."""
    shards, incarnation = log.partitions("journal"), log.topic_id("journal")

    def one(partition: int) -> Replayed:
        out = Replayed()
        confirming = Confirming(out)
        shard = Shard(partition, shards, incarnation, MemoryStore(), confirming)
        confirming.shard = shard
        for record in log.scan("journal", partition):
            out.withheld |= _withheld(record)
            confirming.live = _live(record, live)
            _take(out, shard, record)
            if record.offset + 1 == until.get(partition):
                out.state = _state(shard)
        return out

    return read_all(log, "journal", one)


class Scanning(Tables):
    """Tables that say that they search an HNSW, and go on scanning."""

    def become_ann(self, table: Table, ef: int) -> None:
        table.search = "ann"


class Confirming(EntryIndex):
    """The entries of a shard, searched by what the live decisions say that they found."""

    shard: Shard
    """Whose entries they are."""

    def __init__(self, out: Replayed) -> None:
        super().__init__(Scanning)
        self._out = out
        self.live: Decision | None = None
        """The live decision on the record that is being folded."""

    def nearest(self, space: bytes, query: QueryVector, count: int, floor: float, ef: int) -> Searched:
        search, truth = super().nearest(space, query, count, floor, ef)
        if search != "ann" or self.live is None or self.live.search != "ann":
            return search, truth
        found = [self._confirmed(space, query, candidate) for candidate in self.live.candidates]
        confirmed = [each for each in found if each is not None]
        best = confirmed[0][0].similarity if confirmed else -1.0
        threshold = self.live.threshold or 0.0
        self._out.counts["ann"] += 1
        if truth and truth[0][0].similarity > best and truth[0][0].similarity >= threshold:
            self._out.counts["ann_lesser" if best >= threshold else "ann_missed"] += 1
        return search, confirmed

    def _confirmed(
        self, space: bytes, query: QueryVector, candidate: Candidate
    ) -> tuple[VectorMatch, IndexedEntry] | None:
        place = parse_entry_id(candidate.entry_id)
        if place is None:
            self._wrong(f"{candidate.entry_id} is the id of no entry")
            return None
        number = place.offset
        seen = self.by_id(number)
        if seen is None or self.shard.document(ENTRIES, entry_id(number)) is None:
            self._wrong(f"{candidate.entry_id} is not alive")
            return None
        entry = self.shard.entry(seen)
        if entry.vector is None or namespace_of(entry.space, entry.category, entry.embedder, entry.context) != space:
            self._wrong(f"{candidate.entry_id} is of another namespace")
            return None
        theirs = QueryVector.of(decode(entry.vector))
        similarity = cosine(int(theirs.wide @ query.wide), theirs.norm, query.norm)
        if similarity != candidate.similarity:
            self._wrong(f"{candidate.entry_id}: {similarity}, not {candidate.similarity}")
            return None
        return VectorMatch(seen.row, similarity), seen

    def _wrong(self, what: str) -> None:
        self._out.wrong.append(f"{self.live.id if self.live else '-'}: {what}")


def _state(shard: Shard) -> State:
    """What the shard would have committed by now: nothing of it is in its store."""
    changes = dict(shard.begin_commit())
    shard.abort_commit()
    return {key: value for key, value in changes.items() if value is not None}


def _withheld(record: Record) -> set[str]:
    value = record.value or b""
    return {AnswerWithheld.decode(value).forward_id} if b'"kind":"AnswerWithheld"' in value else set()


def _live(record: Record, live: Mapping[str, Decision]) -> Decision | None:
    value = record.value or b""
    return live.get(Asked.decode(value).id) if b'"kind":"Asked"' in value else None


def _take(out: Replayed, shard: Shard, record: Record) -> None:
    folded = fold(shard, record)
    for decision in folded.decisions:
        out.twice += decision.id in out.decisions
        out.decisions[decision.id] = decision.encode()
    for effect in folded.effects:
        ask_id = _answers(effect)
        if ask_id is not None:
            out.responses[ask_id] = effect.value or b""
    out.counts.update("_".join((kind, labels[-1])) for kind, *labels in folded.counts if kind is Counted.EVICTED)


def _answers(effect: Outgoing) -> bytes | None:
    return header(effect.headers, HEADER) if effect.topic == "responses" else None
