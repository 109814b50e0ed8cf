"""govern: applies each command of `control` to the policy in force and to every shard, or dead-letters it.

One command is one transaction: `policies` (for a policy), the event in every partition of `journal`, a dead letter
if it was refused, and the offset in `control`. So no shard misses a command and none gets it twice.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from prometheus_client import Gauge

from refrain.schemas.control import Given, JournalKept, PolicyInForce
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.decisions import Decision
from refrain.streams.errors import Aborted, RecordsRefused, Refusal, WrongSetup
from refrain.streams.govern.commands import (
    NAME,
    command_of,
    decide,
    given_to_every_shard,
    judged_by,
    refused_by_topic,
)
from refrain.streams.govern.decision_search import DecisionSearch, SharedScan, SoughtDecision
from refrain.streams.kafka.interface import (
    Cluster,
    Consumer,
    OffsetAndMetadata,
    Outgoing,
    Record,
    TransactionalProducer,
)
from refrain.streams.messaging.quarantine import quarantined
from refrain.streams.messaging.shards import check_kept, journal_made_anew, journal_shards
from refrain.streams.metrics import Metrics, policy_version
from refrain.streams.runtime.barrier import passes, unforeseen
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import PolicyWatch
from refrain.streams.runtime.progress import Progress
from refrain.streams.runtime.topic_check import require_topics

logger = logging.getLogger(__name__)

SOURCE = "control"
POLL_S = 0.2
BUSY_POLL_S = 0.02
"""How long a poll may take while commands wait for another try or for a decision to be found."""
BATCH_MAX = 100
WAITING_MAX = 2_000
"""Commands that may wait: with more no further ones are polled."""


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
    progress = context.progress(NAME, SOURCE)
    paused = False
    try:
        while not context.stop():
            waiting = 0 if governor is None else governor.waiting
            busy = waiting > 0
            if (waiting > WAITING_MAX) is not paused and consumer.assignment():
                paused = not paused
                (consumer.pause if paused else consumer.resume)([0])
            batch = consumer.poll(BATCH_MAX, BUSY_POLL_S if busy else POLL_S)
            if leadership.joined:
                context.ready()
            if leadership.changed:
                leadership.changed = False
                if governor is not None:
                    governor.close()
                governor = None
                progress.follow([0] if leadership.held else [])
                if leadership.held:
                    governor = Governor(cluster, consumer, metrics, context.now_ms, progress)
            if governor is not None:
                governor.look()
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

    Its producer is new and fences the earlier leader's before anything else: an open transaction of that one
    ends before the policy in force is read.
    """

    def __init__(
        self,
        cluster: Cluster,
        consumer: Consumer,
        metrics: GovernMetrics,
        now_ms: Callable[[], int],
        progress: Progress,
    ) -> None:
        self._cluster = cluster
        self._progress = progress
        self._consumer = consumer
        self._journal = journal_shards(cluster)
        self._kept = JournalKept(topic_id=self._journal.incarnation, partitions=self._journal.partitions)
        self._metrics = metrics
        self._now_ms = now_ms
        self._search: DecisionSearch | None = None
        self._scan: SharedScan | None = None
        """The scan for all decisions that the commands judge which waited when it began."""
        self._scanned_to = -1
        """The offset of the last of them."""
        self._commands: deque[Record] = deque()
        self._said: dict[int, Given | Refusal] = {}
        """What each of them says, by offset; nothing of those that are set aside."""
        self._producer: TransactionalProducer = cluster.transactional(NAME)
        self._policy: PolicyInForce | None = None
        self._begun = False

    @property
    def waiting(self) -> int:
        """The number of commands taken and not yet applied."""
        return len(self._commands)

    def _begin(self) -> bool:
        """Fence the earlier leader and read the policy in force. False when the cluster does not let it: call again."""
        if not self._begun:
            try:
                self._producer.transact([], None, {})
                policy = PolicyWatch(self._cluster).latest()
                check_kept(policy, self._kept.topic_id, self._kept.partitions)
                self._policy = self._given_to_journal(policy)
            except Aborted as aborted:
                logger.info("the term begins later: %s", aborted)
                return False
            self._show_version()
            self._begun = True
        return True

    def look(self) -> None:
        """Look now and then whether the journal is still the one that it began with. Raises ClusterFailed if not."""
        try:
            same = self._journal.is_there()
        except WrongSetup:
            # Told where something is written to it.
            return
        if not same:
            raise journal_made_anew()

    def _given_to_journal(self, policy: PolicyInForce | None) -> PolicyInForce | None:
        """Give the policy in force to the shards of a journal that was made since; what is in force then.

        Raises Aborted when the cluster does not take it.
        """
        if policy is None or policy.journal in (None, self._kept):
            return policy
        given = policy.model_copy(update={"journal": self._kept})
        self._producer.transact(given_to_every_shard(given, self._kept.partitions), None, {})
        logger.warning("journal was made anew: its shards are given policy version %d", given.version)
        return given

    def take(self, batch: Sequence[Record]) -> None:
        """Apply commands in order. The next call goes on where an abort or an unfinished search stopped this one."""
        for record in batch:
            with self._progress.in_hand([record]):
                if not self._progress.is_set_aside(record):
                    self._said[record.offset] = command_of(record)
            self._commands.append(record)
        while self._begin() and self._commands:
            with self._progress.in_hand([self._commands[0]]):
                goes_on = self._apply(self._commands[0])
            if not goes_on:
                return

    def _apply(self, record: Record) -> bool:
        """Apply the next command. False when the next round of the main loop is to go on."""
        if self._progress.is_set_aside(record):
            return self._write(record, [quarantined(record, NAME)], self._policy)
        command = self._said[record.offset]
        wanted = judged_by(command)
        if wanted is not None and not self._search_further(wanted):
            return False
        judged: Decision | None = None if self._search is None else self._search.found
        out, policy = decide(record, self._policy, self._kept.partitions, judged, command=command, journal=self._kept)
        is_quick = wanted is None or (wanted.partition is None and self._scan is not None and self._scan.over)
        # A search took long enough for a round.
        return self._write(record, out, policy) and is_quick

    def _write(self, record: Record, out: Sequence[Outgoing], policy: PolicyInForce | None) -> bool:
        """Write what a command becomes. False when it is to be tried again."""
        try:
            out, policy = self._carry_out(record, out, policy)
        except Aborted as aborted:
            logger.info("command %d is tried again: %s", record.offset, aborted)
            return False
        self._commands.popleft()
        self._said.pop(record.offset, None)
        self._end_search()
        self._policy = policy
        self._count(record, out)
        return True

    def _carry_out(
        self, record: Record, out: Sequence[Outgoing], policy: PolicyInForce | None
    ) -> tuple[Sequence[Outgoing], PolicyInForce | None]:
        """Write what comes of a command, and that it is done, in one transaction; returns what was written and holds.

        A command whose records a topic does not take is refused: it would not be taken later either.
        """
        done = {record.partition: OffsetAndMetadata(record.offset + 1)}
        try:
            self._producer.transact(out, self._consumer.group_metadata(), done)
        except RecordsRefused as refused:
            out, policy = refused_by_topic(record, refused), self._policy
            self._producer.transact(out, self._consumer.group_metadata(), done)
        return out, policy

    def close(self) -> None:
        """Close the producer; commands not applied are left to the next leader."""
        self._end_search()
        self._producer.close()

    def _search_further(self, sought: SoughtDecision) -> bool:
        """Search the next chunk; a search that fails of what the command names is over, with nothing found."""
        try:
            if self._search is None:
                self._search = DecisionSearch(self._cluster, sought, self._now_ms, scan=self._scan_of_first())
            return self._search.search_chunk()
        except Exception as error:
            if passes(error):
                raise
            logger.warning("the search for a judged decision failed: %s", unforeseen(error))
            self._end_search()
            return True

    def _scan_of_first(self) -> SharedScan:
        """The scan for the decision that the first command judges, and for those that others judge which wait too.

        One after another, judgements of decisions that are not there would hold up every command behind them.
        """
        if self._scan is None or self._commands[0].offset > self._scanned_to:
            wanted = map(judged_by, self._said.values())
            self._scan = SharedScan(self._cluster, {each.id for each in wanted if each is not None}, self._now_ms)
            self._scanned_to = self._commands[-1].offset
        return self._scan

    def _end_search(self) -> None:
        if self._search is not None:
            self._search.close()
        self._search = None

    def _count(self, record: Record, out: Sequence[Outgoing]) -> None:
        self._metrics.shared.taken.labels(NAME, record.topic).inc()
        self._metrics.shared.count_sent(NAME, out)
        for message in out:
            if message.topic == "dead-letters":
                code = (dict(message.headers).get(HEADER_REASON) or b"").decode().partition(":")[0]
                logger.warning("command %d refused: %s", record.offset, code)
                self._metrics.shared.refused.labels(NAME, code).inc()
        self._show_version()

    def _show_version(self) -> None:
        if self._policy is not None:
            self._metrics.policy_version.set(self._policy.version)
