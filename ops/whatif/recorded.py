"""What was decided live: the recorded journal folded as it stands, and what each question got."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from refrain.ops.audit.refold import PartitionFold
from refrain.ops.whatif.totals import Usage, usage_of
from refrain.schemas.decisions import Decision
from refrain.schemas.documents import Flight
from refrain.schemas.journal import Answered, Asked, Event, Passed
from refrain.schemas.responses import Outcome
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import parse_entry_id
from refrain.streams.messaging.responses import digest_of_answer, project
from refrain.streams.shard.counts import Counted, Dropped
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.skips import Skips
from refrain.streams.shard.state import Shard
from refrain.streams.shard.stored_answers import StoredAnswer

COMMIT_RECORDS = 5_000
"""Records of a shard between two commits in memory."""


class Live(NamedTuple):
    """A decision that was made live, with the answer that it served from the cache."""

    decision: Decision
    source: str | None
    """The forward that brought the entry."""
    kept: StoredAnswer | None


class Forwarded(NamedTuple):
    """A question that was forwarded, past the shard or by it."""

    id: str
    category: str
    flight: Flight | None
    """What the shard keeps of it; None where its answer goes straight to the requester."""


class KnownAnswer(NamedTuple):
    """What is remembered of an answer."""

    digest: str | None
    """Of what would be kept of it; None where it has no one choice."""
    usage: Usage


class Taken(NamedTuple):
    """What a record brought about."""

    live: list[Live]
    forwards: list[Forwarded]
    repeated: bool
    """Whether it had been folded before: what classify or govern repeated after a crash."""


class Recorded:
    """The shards as they were. Their offsets are those of the journal."""

    def __init__(self, shards: int, incarnation: str, skips: Mapping[int, Skips]) -> None:
        """`skips` are those of the live shards, by partition."""
        self._skips = skips
        self.shards = shards
        self.incarnation = incarnation
        self.folds: dict[int, PartitionFold] = {}
        self.sources: dict[tuple[int, int], str] = {}
        """By partition and offset of an answer: the forward that it was to."""
        self.answers: dict[str, KnownAnswer] = {}
        """By their forwards."""
        self.forwarded_at_ms: dict[str, int] = {}
        """By forward: when the shard that waits for its answer forwarded it."""
        self._folded = 0

    def take(self, record: Record, event: Event | None) -> Taken:
        """Fold a record. Raises JournalUnreadable for one of an unknown version."""
        fold = self.folds.get(record.partition)
        if fold is None:
            skips = self._skips.get(record.partition)
            fold = PartitionFold(record.partition, self.shards, self.incarnation, skips)
            self.folds[record.partition] = fold
        if isinstance(event, Answered):
            self.sources[record.partition, record.offset] = event.forward_id
            self.answers[event.forward_id] = known_answer(event)
        result = fold.fold(record, event=event)
        live = [self._live(fold, decision) for decision in result.decisions]
        self._folded += 1
        if self._folded % COMMIT_RECORDS == 0:
            for one in self.folds.values():
                one.commit()
        forwards = forwards_of(fold.shard, event, result)
        for each in forwards:
            if each.flight is not None:
                self.forwarded_at_ms[each.id] = fold.shard.time_ms
        repeated = (Counted.DROPPED, Dropped.REPEATED.value) in result.counts
        return Taken(live, forwards, repeated)

    def expect(self, coming: Mapping[int, Sequence[Asked]]) -> None:
        """Tell which questions come next, by partition."""
        for number, fold in self.folds.items():
            fold.expect(coming.get(number, ()))

    def was_left_out(self, record: Record) -> bool:
        """Whether a live shard was told to leave the record out, whatever it is."""
        skips = self._skips.get(record.partition)
        return skips is not None and skips.of(record.offset) == "records"

    def entries(self) -> dict[str, int]:
        """Entries by category."""
        return entries_of(fold.shard for fold in self.folds.values())

    def is_open(self, forward_id: str) -> bool:
        """Whether an answer to that forward is awaited, so that what comes of it is in the journal."""
        return any(fold.shard.flights.get(forward_id) is not None for fold in self.folds.values())

    def source_of(self, entry_id: str) -> str | None:
        """The forward that brought an entry, by its id; None where none did."""
        place = parse_entry_id(entry_id)
        return None if place is None else self.sources.get((place.partition, place.offset))

    def _live(self, fold: PartitionFold, decision: Decision) -> Live:
        if decision.outcome is not Outcome.HIT or decision.entry_id is None:
            return Live(decision, None, None)
        place = parse_entry_id(decision.entry_id)
        indexed = None if place is None else fold.shard.entries.by_id(place.offset)
        kept = None if indexed is None else fold.shard.stored_answer(indexed)
        return Live(decision, self.source_of(decision.entry_id), kept)


def known_answer(event: Answered) -> KnownAnswer:
    """What is remembered of an answer."""
    body = json.loads(event.body.data)
    try:
        digest = digest_of_answer(project(body))
    except (KeyError, TypeError, IndexError):
        digest = None
    return KnownAnswer(digest, usage_of(body))


def forwards_of(shard: Shard, event: object, result: FoldResult) -> list[Forwarded]:
    """The questions that were forwarded with an event: by the shard, and by classify before it."""
    categories = {decision.id: decision.category or "-" for decision in result.decisions}
    out = []
    if isinstance(event, Passed) and event.outcome is Outcome.BYPASS and event.id in categories:
        out.append(Forwarded(event.id, event.category or "-", None))
    for effect in result.effects:
        if effect.topic == "forwards":
            id_ = (effect.key or b"").decode()
            known = shard.flights.get(id_)
            flight = None if known is None else known.flight
            out.append(Forwarded(id_, categories.get(id_, "-") if flight is None else flight.category, flight))
    return out


def entries_of(shards: Iterable[Shard]) -> dict[str, int]:
    """Entries by category."""
    counts: dict[str, int] = {}
    for shard in shards:
        for category, count in shard.entries.expiry.counts().items():
            counts[category] = counts.get(category, 0) + count
    return counts
