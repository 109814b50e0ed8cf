"""The real Kafka cluster, through confluent-kafka: makes clients, scans topics, and describes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Self

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka import (
    Consumer as ConfluentConsumer,
)
from confluent_kafka.admin import (
    AdminClient,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from refrain.streams.errors import ClusterFailed, Forbidden, LoginRefused, Unanswered, WrongSetup
from refrain.streams.kafka.aim import aim
from refrain.streams.kafka.complaints import Complaints
from refrain.streams.kafka.config import (
    ADMIN_TIMEOUT_S,
    ANSWER_TIMEOUT_S,
    DESCRIBE_TIMEOUT_S,
    PRODUCE_BYTES_MAX,
    connection,
)
from refrain.streams.kafka.consumer import KafkaConsumer
from refrain.streams.kafka.expiring_producer import ExpiringProducer
from refrain.streams.kafka.faults import FORBIDDEN_CODES, MISSING_CODES, SILENT_CODES, failure_of, forbidden
from refrain.streams.kafka.incarnation import Incarnation, safe_id
from refrain.streams.kafka.interface import RebalanceListener, Record, Span, Target, Wanted, cluster_name
from refrain.streams.kafka.offsets import known_offset
from refrain.streams.kafka.outages import Outages
from refrain.streams.kafka.poster import KafkaPoster
from refrain.streams.kafka.producer import KafkaProducer, KafkaTransactionalProducer
from refrain.streams.kafka.raw_fetch import raw_fetch
from refrain.streams.kafka.reader import NO_GROUP, KafkaReader
from refrain.streams.kafka.spans import read_spans
from refrain.streams.kafka.sparing import Sparing
from refrain.streams.kafka.tail import KafkaTail
from refrain.streams.settings import Settings

PATIENCE_S = 60.0
"""How long a command waits for the cluster (workers wait without end)."""
MISSING_HERE_CODES = MISSING_CODES | {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


class KafkaCluster:
    """A Kafka cluster, as the settings name it: every topic, group and transactional id begins with their prefix.

    Consumers and producers wait as `outages` says: a worker's for ever, a command's for `PATIENCE_S`. Questions are
    asked once and raise Unanswered (see `PatientCluster`); a login that is refused before it was ever taken is a wrong
    setup.
    """

    def __init__(self, settings: Settings, outages: Outages | None = None) -> None:
        self._settings = settings
        self._outages = outages or Outages(patience_s=PATIENCE_S)
        self._base = connection(settings)
        # What it cannot do raises and is told there: between its calls it has nothing to say of a broker that is away.
        self._admin = AdminClient({**self._base, "log_level": 0})
        self._asking: ConfluentConsumer | None = None
        self._sparing = Sparing(aim=lambda: aim(self._admin))
        self._complaints = Complaints()
        self._has_answered = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the admin client; twice is once. Close its consumers first: by it they ask which topic is there.

        Producers have connections of their own.
        """
        # It has no `close`: what is not referred to has no threads any more.
        vars(self).pop("_admin", None)
        with self._lock:
            asking, self._asking = self._asking, None
        if asking is not None:
            asking.close()

    def name(self, topic: str) -> str:
        """The topic's name on the cluster."""
        return cluster_name(self._settings.prefix, topic)

    def producer(self, *, delivery_timeout_ms: int | None = None) -> KafkaProducer | ExpiringProducer:
        if delivery_timeout_ms is None:
            return KafkaProducer(self._base, self._settings, self._outages, self.described)
        return ExpiringProducer(self._base, self._settings.prefix, delivery_timeout_ms, self._outages)

    def transactional(self, name: str) -> KafkaTransactionalProducer:
        return KafkaTransactionalProducer(self._base, self._settings, self._settings.prefix + name, self._outages)

    def consumer(
        self,
        topic: str,
        group: str,
        listener: RebalanceListener | None = None,
        *,
        from_start: bool = True,
        instance: str = "",
    ) -> KafkaConsumer:
        return KafkaConsumer(
            self._base,
            self._settings,
            topic,
            group,
            listener,
            from_start,
            self._outages,
            describe=lambda: self.described(topic),
            instance=instance,
        )

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        first = self._offsets(topic, {partition: OFFSET_BEGINNING})[partition]
        spans = {partition: Span(max(start, first), self.end(topic, partition))}
        return self._read_spans(topic, spans, None, stop)

    def sift(self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None = None) -> Iterator[Record]:
        return self._read_spans(topic, spans, wanted, lambda: False)

    def _read_spans(
        self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None, stop: Callable[[], bool]
    ) -> Iterator[Record]:
        name, reading, fetch = self.name(topic), self._reading(), raw_fetch(self._settings)
        incarnation = Incarnation(name, lambda: self.described(topic))
        return read_spans(reading, topic, name, spans, wanted, stop, fetch, incarnation)

    def reader(self, topic: str) -> KafkaReader:
        return KafkaReader(self._base, self._settings, topic, raw_fetch(self._settings))

    def tail(self, places: Mapping[str, Collection[int] | None], name: str) -> KafkaTail:
        starts: dict[tuple[str, int], int] = {}
        for topic, wanted in places.items():
            count = self.partitions(topic)
            numbers = range(count) if wanted is None else wanted
            for number in numbers:
                if number >= count:
                    raise WrongSetup(f"topic {self.name(topic)} has no partition {number}, it has {count}")
            lasts = self._offsets(topic, dict.fromkeys(numbers, OFFSET_END))
            starts |= {(topic, number): end for number, end in lasts.items()}
        return KafkaTail(
            self._base,
            self._settings.prefix,
            starts,
            name,
            raw_fetch(self._settings),
            of_all=[topic for topic, wanted in places.items() if wanted is None],
            describe=self.described,
            partitions=self.partitions,
        )

    def poster(self, *, delivery_timeout_ms: int) -> KafkaPoster:
        return KafkaPoster(self._base, self._settings.prefix, delivery_timeout_ms)

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        partitions = range(self.partitions(topic))
        firsts = self._offsets(topic, dict.fromkeys(partitions, OFFSET_BEGINNING))
        lasts = self._offsets(topic, dict.fromkeys(partitions, OFFSET_END))
        return {partition: (firsts[partition], lasts[partition]) for partition in partitions}

    def end(self, topic: str, partition: int) -> int:
        return self._offsets(topic, {partition: OFFSET_END})[partition]

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        partitions = range(self.partitions(topic))
        lasts = self._offsets(topic, dict.fromkeys(partitions, OFFSET_END))
        # Where no record is as late the client says that it is the end.
        return self._offsets(topic, dict.fromkeys(partitions, time_ms), lasts)

    def partitions(self, topic: str) -> int:
        # Any broker tells it, where describing a topic needs the controller.
        name = self.name(topic)
        try:
            found = self._asker().list_topics(name, ANSWER_TIMEOUT_S).topics[name]
        except KafkaException as problem:
            raise self._failed(problem.args[0], topic, "asking for the partitions of") from problem
        self._has_answered = True
        if found.error is not None:
            raise self._failed(found.error, topic, "asking for the partitions of")
        return len(found.partitions)

    def topic_id(self, topic: str) -> str:
        return safe_id(self._describe(topic).topic_id)

    def tombstones_ms(self, topic: str) -> int:
        resource = ConfigResource(ResourceType.TOPIC, self.name(topic))
        future = self._admin.describe_configs([resource], request_timeout=ADMIN_TIMEOUT_S)[resource]
        try:
            return int(future.result()["delete.retention.ms"].value)
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"asking for the settings of topic {self.name(topic)}") from problem

    def targets(self, topics: Collection[str]) -> dict[str, Target]:
        names = {self.name(topic): topic for topic in topics}
        if not names:
            return {}
        counts = self._partition_counts(list(names))
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in counts]
        if not resources:
            return {}
        found: dict[str, Target] = {}
        for resource, future in self._admin.describe_configs(resources, request_timeout=DESCRIBE_TIMEOUT_S).items():
            name = str(resource.name)
            found[names[name]] = _target(counts[name], _config_of(future))
        return found

    def _partition_counts(self, names: Sequence[str]) -> dict[str, int]:
        """The number of partitions of each topic that is there and visible, by its name on the cluster."""
        found: dict[str, int] = {}
        for name, future in self._describe_topics(names, DESCRIBE_TIMEOUT_S).items():
            try:
                found[name] = len(future.result().partitions)
            except KafkaException as problem:
                error: KafkaError = problem.args[0]
                if error.code() not in MISSING_CODES | FORBIDDEN_CODES:
                    raise ClusterFailed(f"cannot look up what topics take: {error.str()}") from problem
        return found

    def described(self, topic: str) -> Future[Any]:
        """Ask for the description of a topic, with its id. Waits for nothing."""
        name = self.name(topic)
        return self._describe_topics([name], DESCRIBE_TIMEOUT_S)[name]

    def _describe_topics(self, names: Sequence[str], timeout_s: float) -> Mapping[str, Future[Any]]:
        def ask(within_s: float) -> Mapping[str, Future[Any]]:
            return self._admin.describe_topics(TopicCollection(list(names)), request_timeout=within_s)

        return self._sparing.ask(ask, names, timeout_s)

    def _describe(self, topic: str) -> Any:
        try:
            return self.described(topic).result()
        except KafkaException as problem:
            raise self._failed(problem.args[0], topic, "describing") from problem

    def _offsets(self, topic: str, asked: Mapping[int, int], lasts: Mapping[int, int] | None = None) -> dict[int, int]:
        """The offset of each partition at a time (ms), its beginning or its end: one request a leader.

        `lasts` are offsets in place of an answer that it is the end.
        """
        name = self.name(topic)
        places = [TopicPartition(name, partition, when) for partition, when in asked.items()]
        try:
            # A question by the admin client makes it try a dead leader again and again, at the cost of a core.
            found = self._asker().offsets_for_times(places, ANSWER_TIMEOUT_S) if places else []
        except KafkaException as problem:
            if problem.args[0].code() in SILENT_CODES:
                self._sparing.away()
            raise self._no_offsets(problem.args[0], topic, max(asked)) from problem
        self._sparing.back()
        for each in found:
            if each.error is not None:
                raise self._no_offsets(each.error, topic, each.partition)
        return {
            each.partition: lasts[each.partition]
            if lasts is not None and each.offset == OFFSET_END
            else known_offset(each.offset, f"{name}[{each.partition}]")
            for each in found
        }

    def _no_offsets(self, error: KafkaError, topic: str, partition: int) -> ClusterFailed | Forbidden | WrongSetup:
        """Why there are no offsets, up to those of a partition. Raises what asking for the partitions does.

        A client says that a topic is not there where this user may not see it, and of one whose leaders it has not
        heard of yet, as of a broker that is slow: what is there is told by a question for the topic itself.
        """
        if error.code() in MISSING_HERE_CODES and partition < self.partitions(topic):
            return Unanswered(
                f"asking for the offsets of topic {self.name(topic)}: {error.name()}: nobody leads it yet"
            )
        return self._failed(error, topic, "asking for the offsets of")

    def _failed(self, error: KafkaError, topic: str, doing: str) -> ClusterFailed | Forbidden | WrongSetup:
        name = self.name(topic)
        denied = forbidden(error, f"{doing} topic {name}")
        if denied is None and error.code() in MISSING_HERE_CODES:
            return WrongSetup(
                f"topic {name} does not exist ({error.name()}): run `refrain topics create`"
                f" (prefix {self._settings.prefix!r})"
            )
        what = f"{doing} topic {name} at {self._settings.kafka}"
        failed = denied or failure_of(error, what)
        why = self._why() if error.code() in SILENT_CODES else None
        if why is None:
            return failed
        never_in = self._complaints.login_refused and not self._has_answered
        return (LoginRefused if never_in else Unanswered)(f"{what}: {why}")

    def _why(self) -> str | None:
        """Why nobody answers, as far as the client that asks was told."""
        with self._lock:
            if self._asking is not None:
                self._asking.poll(0)
        return self._complaints.told()

    def _asker(self) -> ConfluentConsumer:
        """The client that asks for metadata and offsets, on any thread; it reads nothing and joins no group."""
        with self._lock:
            if self._asking is None:
                self._asking = ConfluentConsumer(
                    {
                        **self._reading(),
                        "isolation.level": "read_uncommitted",
                        "log_level": 0,
                        "error_cb": self._complaints,
                    }
                )
            else:
                # What it told of calls before is none of this one's, and would lie there for ever.
                self._asking.poll(0)
                self._complaints.forget()
            return self._asking

    def _reading(self) -> dict[str, Any]:
        return {**self._base, "group.id": self._settings.prefix + NO_GROUP, "enable.auto.commit": False}


def _config_of(future: Future[Mapping[str, ConfigEntry]]) -> Mapping[str, ConfigEntry]:
    """The settings of a topic, none when this user may not read them. Raises ClusterFailed."""
    try:
        return future.result()
    except KafkaException as problem:
        error: KafkaError = problem.args[0]
        if error.code() in MISSING_CODES | FORBIDDEN_CODES:
            return {}
        raise ClusterFailed(f"cannot look up what topics take: {error.str()}") from problem


def _target(partitions: int, config: Mapping[str, ConfigEntry]) -> Target:
    if not config:
        return Target(partitions, PRODUCE_BYTES_MAX)
    bytes_max = min(PRODUCE_BYTES_MAX, int(str(config["max.message.bytes"].value)))
    return Target(partitions, bytes_max, "compact" in str(config["cleanup.policy"].value).split(","))
