"""Stopped shards: those of a worker that cannot go on, while the others do.

A stopped shard's partition is read without its state. First it is only watched for an operator's order to recover. When
it was stopped for `lookup.stopped_pass_after_ms`, its questions are passed straight to the model; how far is a row of
skips in `documents`, in one transaction with their decisions, so that the shard does not answer them again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from refrain.schemas.decisions import Decision
from refrain.schemas.documents import Skip
from refrain.schemas.journal import Asked, RecoveryOrdered
from refrain.schemas.stats import ShardStats, Stopped
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.shard.columns import SKIPS
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.skips import Skips, skip_id, skips_of
from refrain.streams.shard.without_state import StatelessShard
from refrain.streams.spans import has_passed

logger = logging.getLogger(__name__)


class PassedPart(NamedTuple):
    """What a stopped shard adds to a commit."""

    position: int
    """The journal offset at which it is stopped."""
    rows: dict[bytes, bytes]
    decisions: list[Decision]


@dataclass
class StoppedShard:
    """A shard that cannot go on."""

    told: Stopped
    skips: Skips
    stateless: StatelessShard
    pass_from: int
    """Questions before this journal offset were answered, or are answered by the shard."""
    passing: bool = False
    """Whether its questions are passed; before, its partition is only watched for orders."""
    first: int | None = None
    """Where the row of skips under way begins."""
    rows: dict[bytes, bytes] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)


class StoppedShards:
    """The stopped shards of one worker."""

    def __init__(self, shards: int, incarnation: str, pass_after_ms: int, now_ms: Callable[[], int]) -> None:
        """`pass_after_ms` of 0: questions are never passed."""
        self._shards = shards
        self._incarnation = incarnation
        self._pass_after_ms = pass_after_ms
        self._now_ms = now_ms
        self._stopped: dict[int, StoppedShard] = {}
        self.ordered: dict[int, RecoveryOrdered] = {}
        """Orders to recover that were read and not carried out."""

    def __contains__(self, partition: int) -> bool:
        return partition in self._stopped

    def __len__(self) -> int:
        return len(self._stopped)

    @property
    def are_moved(self) -> bool:
        """Whether questions were passed that no commit has taken."""
        return any(one.rows for one in self._stopped.values())

    def told(self) -> dict[int, Stopped]:
        """Why each of them is stopped."""
        return {partition: one.told for partition, one in self._stopped.items()}

    def add(self, partition: int, told: Stopped, skips: Skips, highwater: dict[str, int], pass_from: int) -> None:
        """Stop a shard, with what is known of its skips and of the requests that it folded.

        Questions before the journal offset `pass_from` are left to the shard.
        """
        known = dict(highwater)
        for _, skip in skips.rows():
            for place, offset in skip.highwater.items():
                known[place] = max(offset, known.get(place, -1))
        passed_to = skips.behind(told.position)
        told = told.model_copy(update={"passed_to": passed_to if passed_to > told.position else None})
        stateless = StatelessShard(partition, self._shards, self._incarnation, known)
        self._stopped[partition] = StoppedShard(told, skips_of(skips.rows()), stateless, pass_from)

    def remove(self, partition: int) -> StoppedShard | None:
        """Forget a shard that goes on, or that another worker owns; what was known of it."""
        self.ordered.pop(partition, None)
        return self._stopped.pop(partition, None)

    def due(self) -> list[int]:
        """Those whose questions are passed from now on: read them from where they are stopped."""
        if not self._pass_after_ms:
            return []
        due = []
        for partition, one in self._stopped.items():
            if not one.passing and has_passed(one.told.since_ms, self._pass_after_ms, self._now_ms()):
                one.passing = True
                due.append(partition)
                logger.warning("shard %d: its questions go straight to the model", partition)
        return due

    def take(self, record: Record) -> FoldResult | None:
        """Take a record of a stopped shard; what came of it, None where nothing did."""
        one = self._stopped[record.partition]
        if not one.passing:
            self._note_order(one, record)
            return None
        if record.offset < one.pass_from or one.skips.of(record.offset) is not None:
            one.first = None
            self._note_order(one, record)
            return None
        event, out = one.stateless.take(record)
        if isinstance(event, RecoveryOrdered):
            self._note(one, record.partition, event)
        if event is None:
            # Left to the shard: what was passed ends here, and begins again behind it.
            one.first = None
            return None
        if isinstance(event, Asked):
            self._passed(one, record, out)
        return out

    def parts(self) -> dict[int, PassedPart]:
        """Take what a commit has to write; it is given back when the commit is aborted."""
        parts = {}
        for partition, one in self._stopped.items():
            if one.rows:
                parts[partition] = PassedPart(one.told.position, one.rows, one.decisions)
                one.rows, one.decisions = {}, []
        return parts

    def give_back(self, partition: int, part: PassedPart) -> None:
        """Take back what a commit did not write."""
        one = self._stopped.get(partition)
        if one is not None:
            one.rows, one.decisions = {**part.rows, **one.rows}, part.decisions + one.decisions

    def _passed(self, one: StoppedShard, record: Record, out: FoldResult) -> None:
        if one.first is None:
            one.first = record.offset
        end = record.offset + 1
        skip = Skip(to_offset=end, what="questions", why=one.told.reason.value, highwater=one.stateless.highwater)
        one.skips.put(one.first, skip)
        one.rows[SKIPS.key(skip_id(one.first, "questions"))] = skip.encode()
        one.decisions += out.decisions
        one.told = one.told.model_copy(update={"passed_to": end})

    def _note_order(self, one: StoppedShard, record: Record) -> None:
        # A look at the bytes spares to read everything else.
        if b"RecoveryOrdered" in (record.value or b""):
            event = one.stateless.read(record)
            if isinstance(event, RecoveryOrdered):
                self._note(one, record.partition, event)

    def _note(self, one: StoppedShard, partition: int, event: RecoveryOrdered) -> None:
        if event.position == one.told.position:
            self.ordered[partition] = event


def stats_of_stopped(partition: int, told: Stopped, now_ms: int) -> Outgoing:
    """The report of a stopped shard, for `stats`."""
    report = ShardStats(
        partition=partition,
        time_ms=now_ms,
        policy_version=None,
        control=-1,
        entries=0,
        waiting=0,
        withdrawing=0,
        loads={},
        categories={},
        stopped=told,
    )
    return Outgoing("stats", str(partition).encode(), report.encode(), (), 0)
