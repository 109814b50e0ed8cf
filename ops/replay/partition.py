"""Replays one partition: folds its records again and writes what comes of them, as its worker did, to the target."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from refrain.ops.audit.lockstep import Decisions, decoded
from refrain.ops.audit.refold import PartitionFold
from refrain.ops.cluster.last_commit import journal_id, last_meta
from refrain.ops.replay.target import Target
from refrain.schemas.decisions import Decision
from refrain.streams.kafka.interface import Cluster, Outgoing, Record
from refrain.streams.kafka.targets import REPLY_MARK
from refrain.streams.lookup.restore import read_skips
from refrain.streams.shard.behaviour import is_of_this_version
from refrain.streams.shard.columns import SKIPS
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.skips import skip_id

RECORDS_MAX = 2_000
"""Records after which what came of them is written."""
BYTES_MAX = 8_000_000
"""Changes of state after which it is written sooner."""


@dataclass
class Replayed:
    """The outcome of the replay of one partition."""

    partition: int
    end: int = 0
    """The journal offset behind the last record that was folded."""
    time_ms: int = 0
    """The shard's time there."""
    counts: Counter[str] = field(default_factory=Counter)
    """`records`; by topic what was written; `client_topics`: responses to topics of clients, which are left out."""
    state: str = ""
    """Digest of the state there."""
    other_version: str = ""
    """The version that decided live, where it is another one."""


class RecordedFold:
    """Folds a recorded partition from its first record on, under the ids of the recorded journal.

    What an approximate index found live, which depends on how it grew, is taken from the published decisions.
    """

    def __init__(self, cluster: Cluster, partition: int) -> None:
        id_ = journal_id(cluster, last_meta(cluster, partition))
        self.skips = read_skips(cluster, partition)
        self.fold = PartitionFold(partition, cluster.partitions("journal"), id_, self.skips)
        self.other_version = ""
        """The version that decided live, where it is another one."""
        self._published = Decisions(cluster.scan("decisions", partition))

    def take(self, record: Record) -> FoldResult:
        """Fold the next record. Raises JournalUnreadable for one of an unknown version."""
        published = decoded(self._published.up_to(record.offset))
        folded = self.fold.fold(record, published)
        if not self.other_version:
            other = (each.behaviour for each in published if not is_of_this_version(each.behaviour))
            self.other_version = next(other, "")
        return folded


class PartitionReplay:
    """Replay of one partition; what has been folded is written by `write`."""

    def __init__(self, source: Cluster, target: Target, partition: int) -> None:
        self._target = target
        self._partition = partition
        self._recorded = RecordedFold(source, partition)
        self._fold = self._recorded.fold
        self._rows = [
            Outgoing("documents", SKIPS.key(skip_id(first, skip.what)), skip.encode(), (), partition)
            for first, skip in self._recorded.skips.rows()
        ]
        """Rows of the state that no record of the journal says, to be written first."""
        self._records: list[Record] = []
        self._effects: list[Outgoing] = []
        self._decisions: list[Decision] = []
        self.replayed = Replayed(partition)

    def take(self, record: Record, *, publish: bool) -> None:
        """Fold the next record; without `publish` its decisions and effects are not written, the state moves on alone.

        Raises JournalUnreadable for a record of an unknown version.
        """
        folded = self._recorded.take(record)
        self._records.append(record)
        if publish:
            self._decisions += folded.decisions
            self._effects += folded.effects
        self.replayed.end, self.replayed.time_ms = record.offset + 1, self._fold.shard.time_ms
        self.replayed.counts["records"] += 1
        if len(self._records) >= RECORDS_MAX or self._fold.shard.overlay.size >= BYTES_MAX:
            self.write()

    def write(self) -> None:
        """Write what was folded since the last call: journal, effects, then the commit of documents and decisions."""
        if not self._records:
            return
        self._target.journal.append(self._records)
        self._send()
        rows = [*self._rows, *self._changes()]
        self._target.commits.transact([*rows, *map(self._of, self._decisions)], None, {})
        self.replayed.counts["decisions"] += len(self._decisions)
        self.replayed.counts["documents"] += len(rows)
        self._records, self._rows, self._decisions, self._effects = [], [], [], []

    def finish(self) -> Replayed:
        """Write the rest, and tell what came of the partition."""
        self.write()
        self._target.journal.finish(self._partition)
        self.replayed.state = self._fold.digest()
        self.replayed.other_version = self._recorded.other_version
        return self.replayed

    def _send(self) -> None:
        # A reply topic of a client's own is live, whatever the prefix: nothing is sent there.
        ours = [effect for effect in self._effects if not effect.topic.startswith(REPLY_MARK)]
        self.replayed.counts["client_topics"] += len(self._effects) - len(ours)
        self.replayed.counts.update(effect.topic for effect in ours)
        if ours:
            self._target.effects.send(ours)

    def _changes(self) -> list[Outgoing]:
        return [Outgoing("documents", key, value, (), self._partition) for key, value in self._fold.commit().items()]

    def _of(self, decision: Decision) -> Outgoing:
        return Outgoing("decisions", decision.id.encode(), decision.encode(), (), self._partition)
