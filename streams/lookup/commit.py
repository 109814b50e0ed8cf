"""Steps 3 and 4 of the commit, beside the folding: what was folded by then becomes durable while more is folded.

The transaction runs on a thread of its own, at most one at a time; all else runs on the worker's thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import NamedTuple

from refrain.schemas.decisions import Decision
from refrain.streams.errors import Rebalanced
from refrain.streams.kafka.interface import Consumer, EndOffsets, OffsetAndMetadata, Outgoing, TransactionalProducer
from refrain.streams.lookup.metrics import LookupMetrics, show
from refrain.streams.lookup.reports import CommitReports, Report
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Checkpoint

logger = logging.getLogger(__name__)


class _Part(NamedTuple):
    """What one shard has in a transaction."""

    shard: Shard
    next_offset: int
    decisions: list[Decision]
    report: Report


class _Open(NamedTuple):
    """A transaction under way."""

    parts: dict[int, _Part]
    ends: Future[EndOffsets]
    started_s: float


class Commits:
    """The commits of one worker. `decisions` is where the worker collects them by partition."""

    def __init__(
        self,
        producer: TransactionalProducer,
        consumer: Consumer,
        executor: Executor,
        metrics: LookupMetrics,
        now_ms: Callable[[], int],
        reports: CommitReports,
    ) -> None:
        self._producer = producer
        self._consumer = consumer
        self._executor = executor
        self._metrics = metrics
        self._now_ms = now_ms
        self._reports = reports
        self._open: _Open | None = None
        self._committed: dict[int, int] = {}
        self.decisions: dict[int, list[Decision]] = {}

    def owned(self, shard: Shard) -> None:
        """The shard is folded here from now on; all of it is committed."""
        self._committed[shard.partition] = shard.next_offset
        self._reports.owned(shard)

    def dropped(self, partition: int) -> None:
        """The shard is somebody else's; what is left of it here counts no more. No transaction may be under way."""
        self._committed.pop(partition, None)
        self.decisions.pop(partition, None)
        self._reports.dropped(partition)
        show(self._metrics, self._reports.latest.values())

    def begin(self, shards: Mapping[int, Shard]) -> None:
        """Step 3, begun: one transaction for all shards that moved, or have something to tell.

        Does nothing while one is under way.
        """
        if self._open is not None:
            return
        moved = {
            p: shard
            for p, shard in shards.items()
            if shard.next_offset != self._committed.get(p) or self._reports.is_due(shard)
        }
        if not moved:
            return
        try:
            member = self._consumer.group_metadata()
        except Rebalanced as rebalance:
            logger.info("commit kept for after the rebalance: %s", rebalance)
            return
        parts = {
            p: _Part(shard, shard.next_offset, self.decisions.pop(p, []), self._reports.of(shard))
            for p, shard in moved.items()
        }
        changes = {p: part.shard.begin_commit() for p, part in parts.items()}
        positions = {p: OffsetAndMetadata(part.next_offset) for p, part in parts.items()}

        def transact() -> EndOffsets:
            records = [
                Outgoing("documents", key, value, (), partition)
                for partition, rows in changes.items()
                for key, value in rows.items()
            ]
            records += [
                Outgoing("decisions", decision.id.encode(), decision.encode())
                for part in parts.values()
                for decision in part.decisions
            ]
            records += [record for part in parts.values() for record in part.report.records]
            return self._producer.transact(records, member, positions)

        self._open = _Open(parts, self._executor.submit(transact), time.perf_counter())

    def settle(self, *, wait: bool) -> None:
        """Step 4, when the transaction is over (or, with `wait`, when it will be).

        After a rebalance it was aborted, and its part goes into the next one. Raises what stops a worker.
        """
        if self._open is None or not (wait or self._open.ends.done()):
            return
        parts, ends, started_s = self._open
        try:
            reached = ends.result()
        except Rebalanced as rebalance:
            logger.info("commit kept for after the rebalance: %s", rebalance)
            self._open = None
            for partition, part in parts.items():
                part.shard.abort_commit()
                self.decisions[partition] = part.decisions + self.decisions.get(partition, [])
            return
        self._open = None
        for partition, part in parts.items():
            part.shard.finish_commit(Checkpoint(reached[("documents", partition)], self._now_ms()))  # step 4
            self._committed[partition] = part.next_offset
            self._reports.told(part.shard, part.next_offset, part.report)
        if any(part.report.stats is not None for part in parts.values()):
            show(self._metrics, self._reports.latest.values())
        self._metrics.commit.observe(time.perf_counter() - started_s)
