"""Folds a partition of the journal again, in memory: the one fold of audit, replay and what-if.

It begins with nothing at the journal's first record, or from a snapshot at the offset of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from refrain.ops.audit.confirming import ConfirmingIndex, IndexFindings, Published
from refrain.ops.audit.sampling import Sample
from refrain.schemas.journal import Asked, Event
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.fold import fold, readable
from refrain.streams.shard.loading import load_shard
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.skips import Skips
from refrain.streams.shard.state import Shard
from refrain.streams.shard.without_state import StatelessShard
from refrain.streams.snapshots.snapshot import Snapshot
from refrain.streams.store.interface import Checkpoint, digest
from refrain.streams.store.memory import MemoryStore

AHEAD_RECORDS = 512
"""Records that are read ahead; their vectors are remembered until they are folded."""
AHEAD_BYTES = 4_000_000
"""Bytes of values from which on no more are."""

Read = tuple[Record, Event | None]
"""A record with what it holds; None where that cannot be read, or has not been."""


class PartitionFold:
    """Fold of one partition from its first record on. Its shard is that of the live worker at the same offset."""

    def __init__(
        self,
        partition: int,
        shards: int,
        incarnation: str,
        skips: Skips | None = None,
        snapshot: Snapshot | None = None,
        sample: Sample | None = None,
    ) -> None:
        """An empty shard, or that of a snapshot. `incarnation` is the journal's topic id, `shards` its partitions.

        `skips` are those of the live shard: what it does not fold, this one does not either. With a `sample` only its
        decisions have what an approximate index did not find counted. Raises SnapshotUnusable for a snapshot that is
        damaged.
        """
        self.index = IndexFindings()
        self._confirming = ConfirmingIndex(self.index, sample)
        store = MemoryStore()
        if snapshot is None:
            self.shard = Shard(partition, shards, incarnation, store, self._confirming)
        else:
            snapshot.fill(store)
            self.shard = load_shard(partition, shards, incarnation, store, entries=self._confirming)
        self._confirming.shard = self.shard
        self.begun_at = self.shard.next_offset
        """The journal offset from which on it folds."""
        if skips is not None:
            self.shard.skips = skips
        self._passed = StatelessShard(partition, shards, incarnation, {})

    def expect(self, events: Iterable[Event | None]) -> None:
        """Tell which events are folded next, so that what they ask is looked for at once. What comes may be other."""
        self._confirming.expect(event for event in events if isinstance(event, Asked))

    def fold(self, record: Record, published: Sequence[Published] = (), event: Event | None = None) -> FoldResult:
        """Fold a record; `published` are the decisions that it brought about live, as far as they are known.

        `event` is what the record holds, where it has been read already.

        Raises JournalUnreadable for a record of an unknown version, ShardBroken or StoreDamaged for a defect of ours.
        """
        self._confirming.published = published
        folded = fold(self.shard, record, event)
        if self.shard.skips.of(record.offset) == "questions":
            passed = self._passed.take(record).result
            folded.effects += passed.effects
            folded.decisions += passed.decisions
        return folded

    def commit(self) -> dict[bytes, bytes | None]:
        """Commit what was folded since the last call: the changes by key, as live ones are written."""
        changes = dict(self.shard.begin_commit())
        self.shard.finish_commit(Checkpoint(self.shard.next_offset, self.shard.time_ms))
        return changes

    def committed(self) -> dict[bytes, bytes]:
        """The whole state as of the last commit."""
        return dict(self.shard.store.scan())

    def digest(self) -> str:
        """Digest (hex) of the state as of the last commit: that of a local store of the same state."""
        return digest(self.shard.store.scan())


def in_runs(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records in runs that are read ahead."""
    run: list[Record] = []
    size = 0
    for record in records:
        run.append(record)
        size += len(record.value or b"")
        if len(run) == AHEAD_RECORDS or size >= AHEAD_BYTES:
            yield run
            run, size = [], 0
    if run:
        yield run


def read_ahead(records: Iterable[Record], fold: PartitionFold) -> Iterator[Read]:
    """Each record of a partition with its event, when the fold has been told what comes."""
    for run in in_runs(records):
        events = [readable(record) for record in run]
        fold.expect(events)
        yield from zip(run, events, strict=True)
