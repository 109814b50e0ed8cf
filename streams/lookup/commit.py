"""The commit (steps 3 and 4), beside the folding: what was folded by then becomes durable while more is folded.

The transaction runs on a thread of its own, at most one at a time; all else runs on the worker's thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from typing import NamedTuple

from refrain.schemas.decisions import Decision
from refrain.streams.errors import Aborted, Rebalanced, StoreDamaged, StoreUnusable
from refrain.streams.kafka.interface import Consumer, EndOffsets, OffsetAndMetadata, Outgoing, TransactionalProducer
from refrain.streams.lookup.documents import Documents
from refrain.streams.lookup.metrics import LookupMetrics, show
from refrain.streams.lookup.reports import CommitReports, ShardReport
from refrain.streams.lookup.stopped import PassedPart, StoppedShards
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Changes, Checkpoint

logger = logging.getLogger(__name__)

BEAT_S = 1.0
"""How often a worker shows that it is alive while it waits for a transaction."""


class _Part(NamedTuple):
    """The part of one shard in a transaction."""

    shard: Shard
    next_offset: int
    decisions: list[Decision]
    report: ShardReport


class _OpenTransaction(NamedTuple):
    """A transaction under way, and the shards in it."""

    parts: dict[int, _Part]
    passed: dict[int, PassedPart]
    ends: Future[EndOffsets]
    started_s: float


class Commits:
    """Commits the shards of one worker."""

    def __init__(
        self,
        producer: TransactionalProducer,
        consumer: Consumer,
        executor: Executor,
        metrics: LookupMetrics,
        now_ms: Callable[[], int],
        reports: CommitReports,
        stopped: StoppedShards,
        documents: Documents,
        alive: Callable[[], object] = lambda: None,
    ) -> None:
        """`alive` is called every second while a transaction is waited for."""
        self._stopped = stopped
        self._documents = documents
        self._producer = producer
        self._consumer = consumer
        self._executor = executor
        self._metrics = metrics
        self._now_ms = now_ms
        self._reports = reports
        self._alive = alive
        self._open: _OpenTransaction | None = None
        self._committed: dict[int, int] = {}
        self._decisions: dict[int, list[Decision]] = {}
        """By partition: the decisions that no transaction has taken."""
        self.failed: dict[int, StoreDamaged | StoreUnusable] = {}
        """Shards whose local store did not take what is committed: they are to be restored."""

    def add(self, shard: Shard) -> None:
        """Start to commit a shard that is folded here from now on; all of it is committed so far."""
        self._committed[shard.partition] = shard.next_offset
        self._documents.restored(shard.partition)
        self._reports.add(shard)

    def report_anew(self, partition: int) -> None:
        """Report a shard with the next commit whatever it has folded: the last report said that it was stopped."""
        self._reports.renew(partition)

    def decided(self, partition: int, decisions: Sequence[Decision]) -> None:
        """Take decisions of a shard, for the next commit."""
        if decisions:
            self._decisions.setdefault(partition, []).extend(decisions)

    def remove(self, partition: int) -> None:
        """Stop to commit a shard that another worker owns; drop its decisions. No transaction may be under way."""
        self._committed.pop(partition, None)
        self.failed.pop(partition, None)
        self._decisions.pop(partition, None)
        self._reports.remove(partition)
        show(self._metrics, self._reports.latest.values())

    def begin(self, shards: Mapping[int, Shard]) -> None:
        """Begin step 3: one transaction for all shards that moved, or have something to report.

        What was passed through for stopped shards is in it. Does nothing while one is under way.
        """
        if self._open is not None:
            return
        again = self._documents.write_again(shards, self.failed)
        moved = {
            p: shard
            for p, shard in shards.items()
            if p in again or shard.next_offset != self._committed.get(p) or self._reports.is_due(shard)
        }
        if not moved and not self._stopped.are_moved:
            return
        try:
            member = self._consumer.group_metadata()
        except Rebalanced as rebalance:
            logger.info("commit kept for after the rebalance: %s", rebalance)
            return
        parts = {
            p: _Part(shard, shard.next_offset, self._decisions.pop(p, []), self._reports.report(shard))
            for p, shard in moved.items()
        }
        passed = self._stopped.parts()
        changes = {p: part.shard.begin_commit() for p, part in parts.items()}
        offsets = {p: OffsetAndMetadata(part.next_offset, self._documents.of(p)) for p, part in parts.items()}
        offsets |= {p: OffsetAndMetadata(part.position, self._documents.of(p)) for p, part in passed.items()}

        def transact() -> EndOffsets:
            ends = self._producer.transact(_records(parts, changes, passed), member, offsets)
            self._documents.look()
            return ends

        self._open = _OpenTransaction(parts, passed, self._executor.submit(transact), time.perf_counter())

    def settle(self, *, wait: bool) -> None:
        """Finish with step 4 when the transaction is over (with `wait`: wait for it).

        One that was aborted, by a rebalance or an outage, goes into the next one. While it is waited for, the worker
        shows that it is alive. Raises what stops a worker.
        """
        if self._open is None or not (wait or self._open.ends.done()):
            return
        parts, passed, ends, started_s = self._open
        try:
            end_offsets = self._result(ends)
        except Aborted as aborted:
            logger.info("commit kept for the next one: %s", aborted)
            self._open = None
            for partition, part in parts.items():
                part.shard.abort_commit()
                self._decisions[partition] = part.decisions + self._decisions.get(partition, [])
            for partition, kept in passed.items():
                self._stopped.give_back(partition, kept)
            return
        self._open = None
        for partition, part in parts.items():
            try:
                # Where the broker did not tell the end, the store reads a little of `documents` again: it is the same.
                known = part.shard.store.checkpoint().next_offset
                reached = end_offsets.get(("documents", partition), known)
                part.shard.finish_commit(Checkpoint(reached, self._now_ms()))  # step 4
            except (StoreDamaged, StoreUnusable) as failure:
                self.failed[partition] = failure
            self._committed[partition] = part.next_offset
            self._reports.committed(part.shard, part.next_offset, part.report)
        if any(part.report.stats is not None for part in parts.values()):
            show(self._metrics, self._reports.latest.values())
        self._metrics.commit.observe(time.perf_counter() - started_s)

    def _result(self, ends: Future[EndOffsets]) -> EndOffsets:
        while not wait_for([ends], timeout=BEAT_S).done:
            self._alive()
        return ends.result()


def _records(
    parts: Mapping[int, _Part], changes: Mapping[int, Changes], passed: Mapping[int, PassedPart]
) -> list[Outgoing]:
    """The records of a transaction: rows, decisions, reports."""
    records: list[Outgoing] = []
    for partition, rows in [*changes.items(), *((p, part.rows) for p, part in passed.items())]:
        records += [Outgoing("documents", key, value, (), partition) for key, value in rows.items()]
    decided: list[tuple[int, _Part | PassedPart]] = [*passed.items(), *parts.items()]
    for partition, part in decided:
        records += [Outgoing("decisions", one.id.encode(), one.encode(), (), partition) for one in part.decisions]
    return records + [record for part in parts.values() for record in part.report.records]
