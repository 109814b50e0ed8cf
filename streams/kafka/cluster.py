"""The real Kafka cluster, through confluent-kafka: makes clients, scans topics, and describes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from confluent_kafka import (
    Consumer as ConfluentConsumer,
)
from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from refrain.streams.errors import ClusterFailed, WrongSetup
from refrain.streams.kafka.config import ADMIN_TIMEOUT_S, connection
from refrain.streams.kafka.consumer import KafkaConsumer
from refrain.streams.kafka.convert import int_of, record_of
from refrain.streams.kafka.expiring_producer import ExpiringProducer
from refrain.streams.kafka.faults import MISSING_CODES, forbidden, raise_unless_transient
from refrain.streams.kafka.interface import RebalanceListener, Record, cluster_name
from refrain.streams.kafka.producer import KafkaProducer, KafkaTransactionalProducer
from refrain.streams.kafka.reader import NO_GROUP, KafkaReader
from refrain.streams.settings import Settings


class KafkaCluster:
    """A Kafka cluster, as the settings name it: every topic, group and transactional id begins with their prefix."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base = connection(settings)
        # What it cannot do raises and is told there: between its calls it has nothing to say of a broker that is away.
        self._admin = AdminClient({**self._base, "log_level": 0})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the admin client; twice is once. Consumers and producers have connections of their own."""
        # It has no `close`: what is not referred to has no threads any more.
        vars(self).pop("_admin", None)

    def name(self, topic: str) -> str:
        """The topic's name on the cluster."""
        return cluster_name(self._settings.prefix, topic)

    def producer(self, *, delivery_timeout_ms: int | None = None) -> KafkaProducer | ExpiringProducer:
        if delivery_timeout_ms is None:
            return KafkaProducer(self._base, self._settings)
        return ExpiringProducer(
            self._base, self._settings.prefix, delivery_timeout_ms, self._settings.send_timeout_ms / 1_000
        )

    def transactional(self, name: str) -> KafkaTransactionalProducer:
        return KafkaTransactionalProducer(self._base, self._settings, self._settings.prefix + name)

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener | None = None, *, from_start: bool = True
    ) -> KafkaConsumer:
        return KafkaConsumer(self._base, self._settings, topic, group, listener, from_start)

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        first, end = self._ends(topic, [partition])[partition]
        offset = max(start, first)
        if offset >= end:
            return
        consumer = ConfluentConsumer(
            {
                **self._base,
                "group.id": self._settings.prefix + NO_GROUP,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )
        try:
            consumer.assign([TopicPartition(self.name(topic), partition, offset)])
            while not stop():
                for message in consumer.consume(5_000, 0.05):
                    error = message.error()
                    if error is None:
                        if int_of(message.offset()) >= end or stop():
                            return
                        yield record_of(topic, message)
                    elif error.code() != KafkaError._PARTITION_EOF:
                        raise_unless_transient(error, f"reading {self.name(topic)}[{partition}]")
                if consumer.position([TopicPartition(self.name(topic), partition)])[0].offset >= end:
                    return
        finally:
            consumer.close()

    def reader(self, topic: str) -> KafkaReader:
        return KafkaReader(self._base, self._settings, topic)

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        return self._ends(topic, list(range(self.partitions(topic))))

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        ends = self.ends(topic)
        found = self._offsets(topic, list(ends), OffsetSpec.for_timestamp(time_ms))
        return {number: offset if offset >= 0 else ends[number][1] for number, offset in found.items()}

    def partitions(self, topic: str) -> int:
        return len(self._describe(topic).partitions)

    def topic_id(self, topic: str) -> str:
        # As Kafka's own tools write it: safe in file names and in ids.
        return str(self._describe(topic).topic_id).replace("+", "-").replace("/", "_")

    def tombstones_ms(self, topic: str) -> int:
        resource = ConfigResource(ResourceType.TOPIC, self.name(topic))
        future = self._admin.describe_configs([resource], request_timeout=ADMIN_TIMEOUT_S)[resource]
        try:
            return int(future.result()["delete.retention.ms"].value)
        except KafkaException as problem:
            raise ClusterFailed(
                f"cannot read the settings of topic {self.name(topic)}: {problem.args[0].str()}"
            ) from problem

    def _describe(self, topic: str) -> Any:
        name = self.name(topic)
        future = self._admin.describe_topics(TopicCollection([name]), request_timeout=ADMIN_TIMEOUT_S)[name]
        try:
            return future.result()
        except KafkaException as problem:
            error: KafkaError = problem.args[0]
            denied = forbidden(error, f"describing topic {name}")
            if denied is not None:
                raise denied from problem
            if error.code() in MISSING_CODES:
                raise WrongSetup(
                    f"topic {name} does not exist ({error.name()}): run `refrain topics create`"
                    f" (prefix {self._settings.prefix!r})"
                ) from problem
            raise ClusterFailed(f"cannot describe topic {name}: {error.str()}: is the broker at"
                            f" {self._settings.kafka} reachable?") from problem  # fmt: skip

    def _ends(self, topic: str, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        first = self._offsets(topic, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        end = self._offsets(topic, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {partition: (first[partition], end[partition]) for partition in partitions}

    def _offsets(self, topic: str, partitions: Sequence[int], spec: OffsetSpec) -> dict[int, int]:
        name = self.name(topic)
        asked = {TopicPartition(name, partition): spec for partition in partitions}
        futures = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ADMIN_TIMEOUT_S
        )
        found = {}
        for topic_partition, future in futures.items():
            try:
                found[topic_partition.partition] = int(future.result().offset)
            except KafkaException as problem:
                self._describe(topic)
                raise ClusterFailed(f"cannot list the offsets of {name}: {problem.args[0].str()}") from problem
        return found
