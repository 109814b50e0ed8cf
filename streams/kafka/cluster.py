"""The log on a real Kafka, through confluent-kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from streams.errors import Fenced, Forbidden, LogFailed, OffsetLost, Rebalanced, SendFailed, WrongSetup
from streams.kafka.authorization import forbidden
from streams.kafka.expiring_producer import LapsingWriter
from streams.kafka.interface import Ends, Headers, Listener, Membership, Outgoing, Position, Record, cluster_name
from streams.kafka.producer_config import producer_config
from streams.settings import Settings

logger = logging.getLogger(__name__)

ADMIN_TIMEOUT_S = 15.0
TRANSACTION_STEP_S = 10.0
REBALANCE_CODES = frozenset({KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS})
FENCE_CODES = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_TXN_STATE,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    }
)
MISSING_CODES = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
    }
)
"""A topic that cannot be used: it is not there, or cannot be there."""
MISSING_TOPIC_MS = 5_000
"""How long a topic may be unknown to the broker before what is sent to it is refused."""
PASSING_CODES = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._PARTITION_EOF,
        KafkaError._AUTHENTICATION,
    }
)


def connection(settings: Settings) -> dict[str, Any]:
    """What every client needs to reach the cluster."""
    return {
        "bootstrap.servers": settings.kafka,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "retry.backoff.ms": 2,
        "retry.backoff.max.ms": 100,
        "log_level": 3,
        **{key: value.get_secret_value() for key, value in settings.connection.items()},
    }


class KafkaLog:
    """One cluster under one prefix."""

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
        """Give the connection for questions about topics back. Readers and writers have their own."""
        # It has no `close`: what is not referred to has no threads any more.
        del self._admin

    def name(self, topic: str) -> str:
        """The topic's name on the cluster."""
        return cluster_name(self._settings.prefix, topic)

    def writer(self, *, within_ms: int | None = None) -> KafkaWriter | LapsingWriter:
        if within_ms is None:
            return KafkaWriter(self._base, self._settings)
        return LapsingWriter(self._base, self._settings.prefix, within_ms, self._settings.send_timeout_ms / 1_000)

    def transactional(self, name: str) -> KafkaTransactionalWriter:
        return KafkaTransactionalWriter(self._base, self._settings, self._settings.prefix + name)

    def reader(
        self, topic: str, group: str, listener: Listener | None = None, *, from_start: bool = True
    ) -> KafkaReader:
        return KafkaReader(self._base, self._settings, topic, group, listener, from_start)

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        first, end = self._ends(topic, [partition])[partition]
        offset = max(start, first)
        if offset >= end:
            return
        consumer = Consumer(
            {
                **self._base,
                "group.id": f"{self._settings.prefix}scan",
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
                        if _int(message.offset()) >= end or stop():
                            return
                        yield _record(topic, message)
                    elif error.code() != KafkaError._PARTITION_EOF:
                        _raise_unless_passing(error, f"reading {self.name(topic)}[{partition}]")
                if consumer.position([TopicPartition(self.name(topic), partition)])[0].offset >= end:
                    return
        finally:
            consumer.close()

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        return self._ends(topic, list(range(self.partitions(topic))))

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
            raise LogFailed(
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
            raise LogFailed(f"cannot describe topic {name}: {error.str()}: is the broker at"
                            f" {self._settings.kafka} reachable?") from problem  # fmt: skip

    def _ends(self, topic: str, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        name = self.name(topic)
        found: dict[int, list[int]] = {partition: [] for partition in partitions}
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):  # type: ignore[no-untyped-call]
            asked = {TopicPartition(name, partition): spec for partition in partitions}
            futures = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ADMIN_TIMEOUT_S
            )
            for place, future in futures.items():
                try:
                    found[place.partition].append(future.result().offset)
                except KafkaException as problem:
                    self._describe(topic)
                    raise LogFailed(f"cannot list the offsets of {name}: {problem.args[0].str()}") from problem
        return {partition: (pair[0], pair[1]) for partition, pair in found.items()}


class KafkaMembership(NamedTuple):
    """A consumer group's metadata at one moment."""

    topic: str
    name: str
    """The topic's name on the cluster."""
    metadata: Any


class KafkaReader:
    """A member of a cooperative consumer group."""

    def __init__(
        self,
        base: Mapping[str, Any],
        settings: Settings,
        topic: str,
        group: str,
        listener: Listener | None,
        from_start: bool,
    ) -> None:
        self._topic = topic
        self._name = settings.prefix + topic
        self._listener = listener
        self._from_start = from_start
        self.consumer = Consumer(
            {
                **base,
                "group.id": settings.prefix + group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest" if from_start else "error",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": settings.session_timeout_ms,
                "heartbeat.interval.ms": max(100, settings.session_timeout_ms // 6),
                "max.poll.interval.ms": max(60_000, settings.session_timeout_ms),
                "fetch.wait.max.ms": 50,
                "fetch.error.backoff.ms": 20,
                "fetch.queue.backoff.ms": 5,
                "queued.min.messages": 10_000,
                "queued.max.messages.kbytes": 32_768,
                "topic.metadata.refresh.interval.ms": 30_000,
            }
        )
        self.consumer.subscribe(
            [self._name], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        try:
            first = self.consumer.poll(timeout_s)
            if first is None:
                return []
            messages = [first]
            if max_records > 1:
                messages += self.consumer.consume(max_records - 1, 0)
        except KafkaException as problem:
            raise _failure(problem.args[0], f"reading {self._name}") from problem
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(_record(self._topic, message))
            else:
                _raise_unless_passing(error, f"reading {self._name}")
        return records

    def commit(self, positions: Mapping[int, Position]) -> None:
        if not positions:
            return
        try:
            done = self.consumer.commit(offsets=_offsets(self._name, positions), asynchronous=False)
        except KafkaException as problem:
            raise _failure(problem.args[0], f"committing positions of {self._name}") from problem
        for place in done:
            if place.error is not None:
                raise _failure(place.error, f"committing the position of {self._name}[{place.partition}]")

    def committed(self, partitions: Sequence[int]) -> dict[int, Position]:
        asked = [TopicPartition(self._name, partition) for partition in partitions]
        try:
            found = self.consumer.committed(asked, timeout=ADMIN_TIMEOUT_S)
        except KafkaException as problem:
            raise _failure(problem.args[0], f"asking for positions of {self._name}") from problem
        for place in found:
            if place.error is not None:
                raise _failure(place.error, f"asking for the position of {self._name}[{place.partition}]")
        return {place.partition: Position(place.offset, place.metadata or "") for place in found if place.offset >= 0}

    def seek(self, partition: int, offset: int) -> None:
        try:
            self.consumer.seek(TopicPartition(self._name, partition, offset))
        except KafkaException as problem:
            raise _failure(problem.args[0], f"seeking {self._name}[{partition}]") from problem

    def pause(self, partitions: Sequence[int]) -> None:
        self.consumer.pause([TopicPartition(self._name, partition) for partition in partitions])

    def resume(self, partitions: Sequence[int]) -> None:
        self.consumer.resume([TopicPartition(self._name, partition) for partition in partitions])

    def assignment(self) -> list[int]:
        return sorted(place.partition for place in self.consumer.assignment())

    def lag(self) -> dict[int, int]:
        behind = {}
        for place in self.consumer.position(self.consumer.assignment()):
            _, end = self.consumer.get_watermark_offsets(place, cached=True)
            if place.offset >= 0 and end >= 0:
                behind[place.partition] = max(0, end - place.offset)
        return behind

    def close(self) -> None:
        self.consumer.close()

    def membership(self) -> KafkaMembership:
        left = f"this worker has left the group that reads {self._name}, or was taken for dead"
        try:
            before = self.consumer.memberid()
            metadata = self.consumer.consumer_group_metadata()
            after = self.consumer.memberid()
        except RuntimeError as closing:
            # A consumer that closes gives its partitions back from within `close`, when it is no member any more.
            raise Rebalanced(left) from closing
        # Not every broker version fences a transaction that names no member.
        if not before or after != before:
            raise Rebalanced(left)
        return KafkaMembership(self._topic, self._name, metadata)

    def member_id(self) -> str:
        return self.consumer.memberid() or ""

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if not self._from_start:
            # The owner seeks before it reads; until then the partition is paused and its offset moot.
            places = [TopicPartition(p.topic, p.partition, OFFSET_BEGINNING) for p in places]
        consumer.incremental_assign(places)
        if not self._from_start and places:
            consumer.pause(places)
        if self._listener is not None:
            self._listener.assigned([place.partition for place in places])

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if self._listener is not None:
            self._listener.revoked([place.partition for place in places])
        consumer.incremental_unassign(places)

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if self._listener is not None:
            self._listener.lost([place.partition for place in places])
        consumer.incremental_unassign(places)


class KafkaWriter:
    """An idempotent producer that waits for every acknowledgement."""

    def __init__(self, base: Mapping[str, Any], settings: Settings) -> None:
        self._prefix = settings.prefix
        self._wait_s = settings.send_timeout_ms / 1_000
        self._producer = Producer(
            {
                **producer_config(base),
                "enable.idempotence": True,
                "topic.metadata.propagation.max.ms": MISSING_TOPIC_MS,
                # Never give up on one record while later ones of its partition succeed: that would be a gap.
                "message.timeout.ms": 0,
            }
        )

    def send(self, records: Sequence[Outgoing]) -> None:
        send_all(self._producer, self._prefix, records, self._wait_s)

    def close(self) -> None:
        self._producer.flush(1.0)
        # What is not referred to has no threads and no connections any more; its own `close` waits for a broker.
        del self._producer


class KafkaTransactionalWriter:
    """A transactional producer; initialised at the first transaction, which fences its namesakes."""

    def __init__(self, base: Mapping[str, Any], settings: Settings, name: str) -> None:
        self._prefix = settings.prefix
        self._wait_s = settings.transaction_timeout_ms / 1_000
        self._ready = False
        self._producer = Producer(
            {
                **producer_config(base),
                "transactional.id": name,
                "transaction.timeout.ms": settings.transaction_timeout_ms,
                "message.timeout.ms": settings.transaction_timeout_ms,
                "topic.metadata.propagation.max.ms": MISSING_TOPIC_MS,
            }
        )

    def transact(
        self, records: Sequence[Outgoing], member: Membership | None, positions: Mapping[int, Position]
    ) -> Ends:
        producer = self._producer
        group = cast(KafkaMembership, member) if member is not None and positions else None
        try:
            if not self._ready:
                _again(lambda: producer.init_transactions(ADMIN_TIMEOUT_S))
                self._ready = True
            producer.begin_transaction()
        except KafkaException as problem:
            raise _failure(problem.args[0], "beginning a transaction") from problem
        try:
            ends = send_all(producer, self._prefix, records, self._wait_s)
            if group is not None:
                offsets, metadata = _offsets(group.name, positions), group.metadata
                _again(lambda: producer.send_offsets_to_transaction(offsets, metadata, TRANSACTION_STEP_S))
            _again(lambda: producer.commit_transaction(TRANSACTION_STEP_S))
        except (SendFailed, Forbidden):
            self._abort()
            raise
        except KafkaException as problem:
            error: KafkaError = problem.args[0]
            if error.txn_requires_abort():
                self._abort()
            raise _failure(error, "committing a transaction") from problem
        return ends

    def close(self) -> None:
        self._producer.flush(1.0)
        # What is not referred to has no threads and no connections any more; its own `close` waits for a broker.
        del self._producer

    def _abort(self) -> None:
        try:
            _again(lambda: self._producer.abort_transaction(TRANSACTION_STEP_S))
        except KafkaException as problem:
            raise _failure(problem.args[0], "aborting a transaction") from problem


def _offsets(name: str, positions: Mapping[int, Position]) -> list[TopicPartition]:
    places = []
    for partition, position in positions.items():
        place = TopicPartition(name, partition, position.next_offset)
        if position.note:
            place = TopicPartition(name, partition, position.next_offset, position.note)
        places.append(place)
    return places


def send_all(producer: Producer, prefix: str, records: Sequence[Outgoing], wait_s: float) -> Ends:
    """Produce the records and wait for each delivery report. Raises SendFailed."""
    delivered = 0
    reached: dict[tuple[str, int], int] = {}
    failure: list[tuple[KafkaError, str]] = []

    def reported(error: KafkaError | None, message: Message) -> None:
        nonlocal delivered
        delivered += 1
        if error is None:
            place = (message.topic() or "", _int(message.partition()))
            reached[place] = max(reached.get(place, 0), _int(message.offset()) + 1)
        elif not failure:
            failure.append((error, f"{message.topic()}[{message.partition()}]"))

    deadline = time.monotonic() + wait_s
    for record in records:
        name = cluster_name(prefix, record.topic)
        while True:
            try:
                producer.produce(
                    name,
                    record.value,
                    record.key,
                    -1 if record.partition is None else record.partition,
                    headers=list(record.headers),
                    on_delivery=reported,
                )
                break
            except BufferError:
                producer.poll(0.05)
                if time.monotonic() > deadline:
                    raise SendFailed(f"the broker took no record for {wait_s:.0f} s: is it reachable?") from None
            except KafkaException as problem:
                error = problem.args[0]
                if error.fatal() or error.code() == KafkaError._FATAL:
                    raise _failure(error, f"producing to {name}") from problem
                raise forbidden(error, f"producing to {name}") or SendFailed(
                    f"cannot produce to {name}: {error.str()}"
                ) from problem
    while delivered < len(records) and not failure:
        try:
            producer.flush(0.5)
        except KafkaException as problem:
            # A producer that may write nothing at all fails as a whole.
            raise _failure(problem.args[0], "producing") from problem
        if time.monotonic() > deadline:
            missing = len(records) - delivered
            raise SendFailed(f"{missing} records were not acknowledged within {wait_s:.0f} s: is the broker up?")
    if failure:
        error, place_name = failure[0]
        if error.code() in FENCE_CODES:
            raise Fenced(f"{place_name}: {error.str()}: another worker took over; start this one again")
        raise forbidden(error, f"producing to {place_name}") or SendFailed(
            f"{place_name} refused a record: {error.str()}"
        )
    return {(topic.removeprefix(prefix), partition): end for (topic, partition), end in reached.items()}


def _again(step: Callable[[], Any], attempts: int = 20) -> None:
    """Call a transactional step again while librdkafka says that it may be."""
    for attempt in range(attempts):
        try:
            step()
            return
        except KafkaException as problem:
            error: KafkaError = problem.args[0]
            if not error.retriable() or error.txn_requires_abort() or attempt == attempts - 1:
                raise
            time.sleep(0.02)


def _failure(error: KafkaError, doing: str) -> LogFailed | Forbidden:
    text = f"{doing}: {error.name()}: {error.str()}"
    denied = forbidden(error, doing)
    if denied is not None:
        return denied
    if error.code() in REBALANCE_CODES:
        return Rebalanced(text)
    if error.code() in FENCE_CODES or error.fatal() or error.code() == KafkaError._FATAL:
        return Fenced(f"{text}; another worker took over: start this one again")
    if error.code() == KafkaError._AUTO_OFFSET_RESET or error.code() == KafkaError.OFFSET_OUT_OF_RANGE:
        return OffsetLost(f"{text}; the topic was cut before this worker could read it")
    return LogFailed(text)


def _raise_unless_passing(error: KafkaError, doing: str) -> None:
    if error.code() in PASSING_CODES:
        if error.code() != KafkaError._PARTITION_EOF:
            logger.warning("%s: %s", doing, error.str())
        return
    raise _failure(error, doing)


def _int(value: int | None) -> int:
    return -1 if value is None else value


def _record(topic: str, message: Message) -> Record:
    return Record(
        topic,
        _int(message.partition()),
        _int(message.offset()),
        message.timestamp()[1],
        message.key(),
        message.value(),
        cast(Headers, tuple(message.headers() or ())),
    )
