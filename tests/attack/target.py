"""Target of attacks: a running Refrain, written to past every client, and the ledger of what became of each record."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property

from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from refrain.ops.ask.client import AskReply, Client
from refrain.ops.cluster.connection import client, reach
from refrain.ops.cluster.lag import group_positions
from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_PARTITION, HEADER_TARGET, HEADER_TOPIC
from refrain.schemas.requests import Request
from refrain.schemas.topics import BY_NAME
from refrain.streams.kafka.batches import batches_in
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.convert import record_of
from refrain.streams.kafka.passing import assigned
from refrain.streams.kafka.raw_fetch import raw_fetch
from refrain.streams.settings import Settings
from tests.attack.places import Place, Stretch, Tally
from tests.streams.kafka.raw_records import GZIP, Raw, batch_of, produce

BATCH_BYTES = 600_000
"""Records are written together up to this size, which every topic takes."""
BATCH_RECORDS = 200
READ_S = 20.0
ASK_S = 60.0
PAUSE_S = 0.2
SILENCE_S = 0.2
READ_ON_S = 0.5
QUIET_S = 1.0
READ_THROUGH_S = 60.0


class Ledger:
    """Ledger of `journal` and `dead-letters` since it was made: which requests are taken, which records set aside."""

    def __init__(self, settings: Settings) -> None:
        self.aside = Tally()
        self.taken = Tally()
        self._prefix = settings.prefix
        self._requests = settings.classify.topic
        with KafkaCluster(settings) as cluster:
            self._requests_id = cluster.topic_id(self._requests)
        self._consumer = Consumer(
            {**client(settings), "group.id": f"{settings.prefix}attack", "enable.auto.commit": False}
        )
        places = [place for topic in ("journal", "dead-letters") for place in self._ends(topic)]
        topics = {self._prefix + topic: topic for topic in ("journal", "dead-letters")}
        self._passing = assigned(self._consumer, topics, raw_fetch(settings), places)

    def read(self) -> None:
        """Read on for a moment, or until nothing comes."""
        until = time.monotonic() + READ_ON_S
        while time.monotonic() < until and (messages := self._next(SILENCE_S)):
            for message in messages:
                if message.error() is None:
                    self._enter(message)

    def read_through(self) -> None:
        """Read on until all that was written before is known: meanwhile good questions go on being asked."""
        began_ms, until = time.time_ns() // 1_000_000, time.monotonic() + READ_THROUGH_S
        quiet_from = time.monotonic()
        while quiet_from + QUIET_S > (now := time.monotonic()) and now < until:
            for message in self._next(QUIET_S / 4):
                if message.error() is None:
                    self._enter(message)
                    if message.timestamp()[1] < began_ms:
                        quiet_from = time.monotonic()

    def close(self) -> None:
        """Give the connection back."""
        self._consumer.close()

    def _next(self, timeout_s: float) -> Sequence[Message]:
        """What came next, past batches that nobody can read."""
        return self._passing.hear(self._consumer.consume(1_000, timeout_s)).messages

    def _ends(self, topic: str) -> Iterator[TopicPartition]:
        name = self._prefix + topic
        for number in self._consumer.list_topics(name, timeout=READ_S).topics[name].partitions:
            end = self._consumer.get_watermark_offsets(TopicPartition(name, number), timeout=READ_S)[1]
            yield TopicPartition(name, number, end)

    def _enter(self, message: Message) -> None:
        if message.topic() == self._prefix + "dead-letters":
            about = dict(record_of("dead-letters", message).headers)
            topic, partition, offset = (about.get(n) or b"" for n in (HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET))
            # The letter of what could not be sent is about no record that was read.
            if HEADER_TARGET not in about:
                self.aside[Place(topic.decode(), int(partition), int(offset))] += 1
            return
        # What is forged is of other topics: of this one nobody but `classify` can tell.
        origin = _origin(message.value() or b"", self._requests_id)
        if origin is not None:
            self.taken[Place(self._requests, *origin)] += 1


def _origin(value: bytes, topic_id: str) -> tuple[int, int] | None:
    """Partition and offset of the request of this topic that an event of `journal` is about."""
    if b'"origin"' not in value or topic_id.encode() not in value:
        return None
    try:
        origin = json.loads(value)["origin"]
        return (int(origin["partition"]), int(origin["offset"])) if origin["topic_id"] == topic_id else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class Target:
    """A running Refrain. `simulated` says that its model is the simulated one, whose answers name the question."""

    def __init__(self, settings: Settings, *, category: str, never: str, simulated: bool, wait_s: float) -> None:
        """Connect to it. Raises Unreachable, ClusterFailed or WrongSetup."""
        self.settings = settings
        self.category = category
        self.never = never
        self.simulated = simulated
        self.wait_s = wait_s
        self.admin: AdminClient = reach(settings)
        self.ledger = Ledger(settings)
        # One question for positions at a time: the client has been seen to crash when many threads ask.
        self._asking = threading.Lock()
        self.never_word = f"Zn{uuid.uuid4().hex[:12]}"
        """How all words begin that stand in questions of a `never` category."""
        self.tenant_word = f"Zq{uuid.uuid4().hex[:12]}"
        """How all words begin that one tenant asks of, and another one must not see."""

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()
        self.ledger.close()

    @cached_property
    def client(self) -> Client:
        """A client of the target."""
        return Client(self.settings)

    def write(self, topic: str, records: Iterable[Raw], codec: int = 0) -> list[Place]:
        """Write records to partition 0 of a topic as they are, in batches. Raises NotTaken."""
        return [place for batch in _batches(records) for place in self.write_batch(topic, batch, codec)]

    def write_batch(self, topic: str, batch: Sequence[Raw], codec: int = GZIP) -> list[Place]:
        """Write records as one batch. Raises NotTaken."""
        return self.write_built(topic, batch_of(batch, codec), len(batch))

    def write_built(self, topic: str, batch: bytes, count: int) -> list[Place]:
        """Write a batch of so many records that is built already. Raises NotTaken."""
        return list(self._write(topic, batch, count, 0))

    def write_to(self, topic: str, partition: int, records: Iterable[Raw], codec: int) -> list[Stretch]:
        """Write records to a partition of a topic as they are, in batches. Raises NotTaken."""
        return [self._write(topic, batch_of(each, codec), len(each), partition) for each in _batches(records)]

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        name = self.settings.prefix + topic
        return len(self.admin.list_topics(name, timeout=READ_S).topics[name].partitions)

    def _write(self, topic: str, batch: bytes, count: int, partition: int) -> Stretch:
        name = self.settings.prefix + topic
        first = produce(self._leader_of(name, partition), name, batch, partition)
        return Stretch(topic, partition, first, count)

    def write_odd(self, topic: str, batch: bytes) -> Place:
        """Write a batch that no client can read; where it is set aside. Raises NotTaken."""
        (last,) = (each.last for each in batches_in(batch))
        return self.write_built(topic, batch, last + 1)[-1]

    def ask(self, requests: Sequence[Request], timeout_s: float = ASK_S) -> list[AskReply]:
        """Ask as a client does, and wait for the answers."""
        return self.client.ask(requests, timeout_s=timeout_s)

    def is_read(self, places: Sequence[Place]) -> bool:
        """Whether the workers whose group shares the topic have read the last of these places of one topic.

        Where they are of several partitions, the last of each.
        """
        if not places:
            return True
        topic = places[0].topic
        group = BY_NAME["requests" if topic == self.settings.classify.topic else topic].group
        if group is None:
            return True
        last: dict[int, int] = {}
        for place in places:
            last[place.partition] = max(place.offset, last.get(place.partition, 0))
        with self._asking:
            positions = group_positions(self.admin, self.settings, group, topic, max(last) + 1)
        return all(positions.get(partition, 0) > offset for partition, offset in last.items())

    def eventually(self, holds: Callable[[], bool]) -> bool:
        """Whether something comes to hold within the time that the target has."""
        until = time.monotonic() + self.wait_s
        while not holds():
            if time.monotonic() > until:
                return False
            time.sleep(PAUSE_S)
        return True

    def _leader_of(self, name: str, partition: int) -> str:
        metadata = self.admin.list_topics(name, timeout=READ_S)
        broker = metadata.brokers[metadata.topics[name].partitions[partition].leader]
        return f"{broker.host}:{broker.port}"


def _batches(records: Iterable[Raw]) -> Iterator[list[Raw]]:
    batch: list[Raw] = []
    size = 0
    for record in records:
        weight = (
            len(record.key or b"") + len(record.value or b"") + sum(len(n) + len(v or b"") for n, v in record.headers)
        )
        if batch and (size + weight > BATCH_BYTES or len(batch) >= BATCH_RECORDS):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += weight
    if batch:
        yield batch
