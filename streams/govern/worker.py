"""govern: applies each command of `control` to the policy in force and to every shard, or dead-letters it.

One command is one transaction: `policies` (for a policy), the event in every partition of `journal`, a dead letter
if it was refused, and the offset in `control`. So no shard misses a command and none gets it twice.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from prometheus_client import Gauge

from refrain.schemas.decisions import Decision
from refrain.streams.errors import Rebalanced, WrongSetup
from refrain.streams.govern.commands import NAME, decide, judged_by
from refrain.streams.govern.decision_search import DecisionSearch, SoughtDecision
from refrain.streams.kafka.interface import (
    Cluster,
    Consumer,
    OffsetAndMetadata,
    Outgoing,
    Record,
    TransactionalProducer,
)
from refrain.streams.metrics import Metrics, policy_version
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import PolicyWatch
from refrain.streams.runtime.topic_check import require_topics

logger = logging.getLogger(__name__)

SOURCE = "control"
POLL_S = 0.2
BUSY_POLL_S = 0.02
"""How long a poll may take while commands wait for another try or for a decision to be found."""
BATCH_MAX = 100


def run_govern(context: WorkerContext) -> None:
    """Run until `stop`; idle while another worker of the group leads (is assigned `control`).

    Raises WrongSetup for missing or split topics, Fenced or ClusterFailed when the worker must be started again.
    """
    cluster = context.cluster
    require_topics(cluster, NAME)
    for topic in (SOURCE, "policies"):
        if cluster.partitions(topic) != 1:
            raise WrongSetup(f"topic {topic} must have one partition: delete it and run `refrain topics create`")
    metrics = GovernMetrics(context.metrics)
    leadership = _Leadership()
    consumer = cluster.consumer(SOURCE, NAME, leadership)
    governor: Governor | None = None
    try:
        while not context.stop():
            busy = governor is not None and governor.waiting > 0
            batch = consumer.poll(BATCH_MAX, BUSY_POLL_S if busy else POLL_S)
            if leadership.joined:
                context.ready()
            if leadership.changed:
                leadership.changed = False
                if governor is not None:
                    governor.close()
                governor = Governor(cluster, consumer, metrics, context.now_ms) if leadership.held else None
            if governor is not None:
                governor.take(batch)
                for partition, behind in consumer.lag().items():
                    metrics.shared.lag.labels(NAME, str(partition)).set(behind + governor.waiting)
    finally:
        consumer.close()
        if governor is not None:
            governor.close()


class GovernMetrics:
    """The metrics of this processor, on the registry of those that all workers have (`shared`)."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        self.policy_version: Gauge = policy_version(shared)


class _Leadership:
    """Leadership: this worker governs while the one partition of `control` is assigned to it."""

    def __init__(self) -> None:
        self.joined = False
        self.held = False
        self.changed = False

    def assigned(self, partitions: Sequence[int]) -> None:
        self.joined = True
        if partitions:
            self.held = self.changed = True

    def revoked(self, partitions: Sequence[int]) -> None:
        if partitions:
            self.held, self.changed = False, True

    def lost(self, partitions: Sequence[int]) -> None:
        self.revoked(partitions)


class Governor:
    """Governs for one term of leadership: from the assignment of `control` until its revocation.

    Its producer is new and fences the earlier leader's at once: an open transaction of that one ends before the policy
    in force is read.
    """

    def __init__(self, cluster: Cluster, consumer: Consumer, metrics: GovernMetrics, now_ms: Callable[[], int]) -> None:
        self._cluster = cluster
        self._consumer = consumer
        self._shards = cluster.partitions("journal")
        self._metrics = metrics
        self._now_ms = now_ms
        self._search: DecisionSearch | None = None
        self._commands: deque[Record] = deque()
        self._producer: TransactionalProducer = cluster.transactional(NAME)
        self._producer.transact([], None, {})
        self._policy = PolicyWatch(cluster).latest()
        self._show_version()

    @property
    def waiting(self) -> int:
        """The number of commands taken and not yet applied."""
        return len(self._commands)

    def take(self, batch: Sequence[Record]) -> None:
        """Apply commands in order. The next call goes on where a rebalance or an unfinished search stopped this one."""
        self._commands.extend(batch)
        while self._commands:
            record = self._commands[0]
            wanted = judged_by(record)
            if wanted is not None and not self._search_further(wanted):
                return
            judged: Decision | None = None if self._search is None else self._search.found
            out, policy = decide(record, self._policy, self._shards, judged)
            try:
                self._producer.transact(
                    out, self._consumer.group_metadata(), {record.partition: OffsetAndMetadata(record.offset + 1)}
                )
            except Rebalanced as rebalance:
                logger.info("command %d is tried again: %s", record.offset, rebalance)
                return
            self._commands.popleft()
            self._end_search()
            self._policy = policy
            self._count(record, out)
            if wanted is not None:
                return

    def close(self) -> None:
        """Close the producer; commands not applied are left to the next leader."""
        self._end_search()
        self._producer.close()

    def _search_further(self, sought: SoughtDecision) -> bool:
        if self._search is None:
            self._search = DecisionSearch(self._cluster, sought, self._now_ms)
        return self._search.search_chunk()

    def _end_search(self) -> None:
        if self._search is not None:
            self._search.close()
        self._search = None

    def _count(self, record: Record, out: Sequence[Outgoing]) -> None:
        self._metrics.shared.taken.labels(NAME, record.topic).inc()
        self._metrics.shared.count_sent(NAME, out)
        for message in out:
            if message.topic == "dead-letters":
                reason = dict(message.headers).get("refrain.dead.reason") or b""
                logger.warning("command %d refused: %s", record.offset, reason.decode())
                self._metrics.shared.refused.labels(NAME, reason.decode().partition(":")[0]).inc()
        self._show_version()

    def _show_version(self) -> None:
        if self._policy is not None:
            self._metrics.policy_version.set(self._policy.version)
