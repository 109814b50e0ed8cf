"""populate: brings each completion back to where its question came from.

`completions` -> `journal` (a shard remembers who waits), or straight to the requester (nothing is remembered).
An answer to a question of a category that has become `never` meanwhile goes to its requester, and the shard learns
only that it came.
"""

from __future__ import annotations

from collections.abc import Sequence

from refrain.schemas.control import PolicyInForce
from refrain.schemas.forwards import Completion
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Cluster, Outgoing, Record
from refrain.streams.messaging.decoding import Envelope, address_of, read
from refrain.streams.messaging.routes import DirectRoute, ShardRoute, decode_route
from refrain.streams.messaging.shards import Shards
from refrain.streams.metrics import Metrics
from refrain.streams.populate.delivery import NAME, Delivery
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import delivery_timeout_ms_of
from refrain.streams.runtime.policy_session import policy_session
from refrain.streams.runtime.stateless import Step, run_stateless
from refrain.streams.runtime.topic_check import require_topics

SOURCE = "completions"
BATCH_MAX = 500
REMEMBERED_MAX = 1_000
"""Completions of each partition that a worker looks back at, to know whom another one has told already."""


def run_populate(context: WorkerContext) -> None:
    """Run until `stop`. Raises WrongSetup for missing topics, ClusterFailed when the broker fails."""
    cluster = context.cluster
    require_topics(cluster, NAME)
    step = Populate(Shards(cluster.partitions("journal"), cluster.topic_id("journal")), context.metrics)
    with policy_session(NAME, context) as session:
        consumer = _LookBack(cluster, step).consumer
        producer = cluster.producer(delivery_timeout_ms=delivery_timeout_ms_of(context.settings))
        run_stateless(NAME, consumer, producer, step, context, batch_max=BATCH_MAX, session=session)


class Populate(Step):
    """Completions in; journal records, responses and dead letters out.

    An answer for another journal was not asked here.
    """

    def __init__(self, journal: Shards, metrics: Metrics) -> None:
        self._delivery = Delivery(journal, metrics)

    def follow(self, policy: PolicyInForce | None) -> None:
        self._delivery.policy = None if policy is None else policy.policy

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        self._delivery.begin()
        return [out for record in batch for out in self._one(record)]

    def sent(self) -> None:
        """Whoever was told is not told again."""
        self._delivery.sent()

    def remember(self, record: Record) -> None:
        """Whoever this completion was for has been told."""
        address = address_of(record.value)
        route = None if address is None else _route_of(address)
        if route is not None:
            self._delivery.remember(route.forward_id)

    def _one(self, record: Record) -> list[Outgoing]:
        try:
            completion = read(record.value, Completion.decode)
        except Refusal as refusal:
            return self._unreadable(record, refusal)
        try:
            route = decode_route(completion.route, completion.forward_id)
        except Refusal as refusal:
            return [self._delivery.rejected(record, refusal)]
        return self._delivery.of(record, route, completion)

    def _unreadable(self, record: Record, refusal: Refusal) -> list[Outgoing]:
        """A dead letter; when it can be seen whose answer it was meant to be, somebody waits and is told."""
        address = address_of(record.value)
        route = None if address is None else _route_of(address)
        if address is None or route is None:
            return [self._delivery.rejected(record, refusal)]
        return self._delivery.of_unreadable(record, refusal, address, route)


class _LookBack:
    """Looks back from where a partition goes on: a repeated completion must not tell its requester something else."""

    def __init__(self, cluster: Cluster, step: Populate) -> None:
        self._cluster = cluster
        self._step = step
        self.consumer = cluster.consumer(SOURCE, NAME, self)

    def assigned(self, partitions: Sequence[int]) -> None:
        for partition, position in (self.consumer.committed(partitions) if partitions else {}).items():
            start = max(0, position.next_offset - REMEMBERED_MAX)
            for record in self._cluster.scan(SOURCE, partition, start):
                if record.offset >= position.next_offset:
                    break
                self._step.remember(record)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Nothing is kept a partition."""

    def lost(self, partitions: Sequence[int]) -> None:
        """Nothing is kept a partition."""


def _route_of(address: Envelope) -> ShardRoute | DirectRoute | None:
    try:
        return decode_route(address.route, address.forward_id)
    except Refusal:
        return None
