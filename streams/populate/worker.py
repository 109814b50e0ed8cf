"""populate: delivers each completion to the shard or the requester that waits for it.

`completions` -> `journal` (a shard remembers who waits), or straight to the requester (nothing is remembered).
Only routes that Refrain signed are followed: whoever may write completions answers what was forwarded, nothing else.
An answer to a question of a category that has become `never` meanwhile goes to its requester, and the shard learns
only that it came.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from refrain.schemas.control import PolicyInForce
from refrain.schemas.forwards import Completion
from refrain.schemas.topics import JOURNAL_BYTES_MAX
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Cluster, Outgoing, Record
from refrain.streams.messaging.dead_letters import refused_as
from refrain.streams.messaging.decoding import envelope_of, is_too_large, read
from refrain.streams.messaging.key_file import route_signer
from refrain.streams.messaging.shards import Shards, journal_shards
from refrain.streams.messaging.signed_routes import RouteSigner
from refrain.streams.metrics import Metrics
from refrain.streams.populate.delivery import NAME, Delivery
from refrain.streams.runtime.barrier import Barrier
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import delivery_timeout_ms_of
from refrain.streams.runtime.policy_session import policy_session
from refrain.streams.runtime.stateless import Step, run_stateless
from refrain.streams.runtime.topic_check import require_room, require_topics
from refrain.streams.traces.interface import OFF, Span, Traces, carrying, end_all

logger = logging.getLogger(__name__)

SOURCE = "completions"
SHARDS = "journal"
BATCH_MAX = 500
REMEMBERED_MAX = 1_000
"""Completions of each partition that are read back, to know whom another worker has answered already."""


def run_populate(context: WorkerContext) -> None:
    """Run until `stop`. Raises WrongSetup for missing topics, ClusterFailed when the broker fails."""
    cluster = context.cluster
    require_topics(cluster, NAME)
    require_room(cluster, NAME, {"journal": JOURNAL_BYTES_MAX})
    routes = route_signer(context.settings)
    if context.settings.routes.unsigned == "accept":
        logger.warning("unsigned routes are accepted: whoever writes completions may answer for the model, and others")
    journal = journal_shards(cluster)
    step = PopulateStep(journal, routes, context.metrics, context.traces)
    with policy_session(NAME, context, route_keys=routes.keys.ids) as session:
        consumer = _DeliveredHistory(cluster, step).consumer
        producer = cluster.producer(delivery_timeout_ms=delivery_timeout_ms_of(context.settings))
        run_stateless(NAME, consumer, producer, step, context, batch_max=BATCH_MAX, session=session)


class PopulateStep(Step):
    """Completions in; journal records, responses and dead letters out.

    An answer for another journal was not asked here.
    """

    def __init__(self, journal: Shards, routes: RouteSigner, metrics: Metrics, traces: Traces = OFF) -> None:
        self._routes = routes
        self._traces = traces
        self._spans: list[Span] = []
        self._delivery = Delivery(journal, metrics)
        self._barrier = Barrier(NAME, metrics, self._refuse)

    def follow(self, policy: PolicyInForce | None) -> None:
        self._delivery.policy = None if policy is None else policy.policy

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        self._delivery.begin()
        self._spans = []
        return [out for record in batch for out in self._traced(record)]

    def tell(self, record: Record, refusal: Refusal) -> list[Outgoing]:
        """A failure for whoever waits for a completion that is set aside, where its envelope can be read."""
        envelope = None if is_too_large(record) else envelope_of(record.value)
        if envelope is None:
            return []
        try:
            route = self._routes.open(envelope.route, envelope.forward_id)
        except Refusal:
            return []
        return self._delivery.deliver_failed(record, refusal, envelope, route)

    def sent(self) -> None:
        """Remember who was answered: a repeated completion is not delivered to them again."""
        self._delivery.sent()
        end_all(self._spans)
        self._spans = []

    def remember(self, record: Record) -> None:
        """Remember a completion that an earlier worker delivered; one that cannot be read was not."""
        if is_too_large(record):
            return
        envelope = envelope_of(record.value)
        if envelope is None:
            return
        try:
            self._delivery.remember(self._routes.open(envelope.route, envelope.forward_id))
        except Refusal:
            # Nobody was answered by it.
            return

    def _traced(self, record: Record) -> Sequence[Outgoing]:
        """What comes of a completion; what goes to a shard carries the context of the request."""
        span = self._traces.begin(NAME, record.headers)
        out = self._barrier.take(record, self._deliver)
        if span is None:
            return out
        self._spans.append(span)
        code = next((code for code in map(refused_as, out) if code is not None), None)
        if code is not None:
            span.fail(code)
        to_shard = any(each.topic == SHARDS for each in out)
        span.tell(to="shard" if to_shard else "requester" if out else "nowhere")
        return [carrying(each, span.headers) if each.topic == SHARDS else each for each in out]

    def _deliver(self, record: Record) -> list[Outgoing]:
        try:
            completion = read(record.value, Completion.decode)
        except Refusal as refusal:
            return self._unreadable(record, refusal)
        try:
            route = self._routes.open(completion.route, completion.forward_id)
        except Refusal as refusal:
            return [self._delivery.refuse_route(record, refusal)]
        return self._delivery.deliver(record, route, completion)

    def _refuse(self, record: Record, refusal: Refusal) -> list[Outgoing]:
        """The outcome of a record that is set aside: unread, or by an error while it was delivered."""
        if is_too_large(record):
            return [self._delivery.dead_letter(record, refusal)]
        return self._unreadable(record, refusal)

    def _unreadable(self, record: Record, refusal: Refusal) -> list[Outgoing]:
        """Dead-letter the record; when its envelope can be read, a failure goes to whoever waits."""
        envelope = envelope_of(record.value)
        if envelope is None:
            return [self._delivery.dead_letter(record, refusal)]
        try:
            route = self._routes.open(envelope.route, envelope.forward_id)
        except Refusal as forged:
            return [self._delivery.refuse_route(record, forged)]
        return self._delivery.deliver_unreadable(record, refusal, envelope, route)


class _DeliveredHistory:
    """Reads back, at an assignment, which completions were delivered: a repeated one must not be delivered again."""

    def __init__(self, cluster: Cluster, step: PopulateStep) -> None:
        self._cluster = cluster
        self._step = step
        self.consumer = cluster.consumer(SOURCE, NAME, self)

    def assigned(self, partitions: Sequence[int]) -> None:
        for partition, committed in (self.consumer.committed(partitions) if partitions else {}).items():
            start = max(0, committed.next_offset - REMEMBERED_MAX)
            for record in self._cluster.scan(SOURCE, partition, start):
                if record.offset >= committed.next_offset:
                    break
                self._step.remember(record)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Do nothing: nothing is kept a partition."""

    def lost(self, partitions: Sequence[int]) -> None:
        """Do nothing: nothing is kept a partition."""
