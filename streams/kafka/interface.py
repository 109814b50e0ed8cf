"""Kafka as the processors see it: a cluster, its consumers and producers, transactions and rebalances.

Two implementations pass the same contract tests: `KafkaCluster` (the real broker) and `MemoryCluster` (its twin, for
tests and for trying policies without a broker).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

Headers = tuple[tuple[str, bytes | None], ...]
HEADER_BYTES = 32
"""What a header counts beside its name and value: many empty ones weigh too, where they are kept and carried back."""


def headers_bytes(headers: Headers) -> int:
    """The size of headers: names, values, and `HEADER_BYTES` each."""
    return sum(HEADER_BYTES + len(name.encode("utf-8", "surrogatepass")) + len(value or b"") for name, value in headers)


def cluster_name(prefix: str, topic: str) -> str:
    """The topic's name on the cluster: under the prefix, unless it begins with `/`, which no Kafka name holds."""
    return topic[1:] if topic.startswith("/") else prefix + topic


class Record(NamedTuple):
    """A consumed record."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    headers_unreadable: bool = False
    """Whether it has headers that cannot be read (a name that is not UTF-8): `headers` has none of them then."""
    flaw: str | None = None
    """Where it stands, at their last offset, for records that nobody can read: what is wrong with them."""

    @property
    def plain_bytes(self) -> int:
        """The size of the record as it is read, not as it was compressed: key, value, and each header with its cost."""
        size = len(self.key or b"") + len(self.value or b"")
        return size + headers_bytes(self.headers) if self.headers else size


class Outgoing(NamedTuple):
    """A record to produce; without a partition its key decides (murmur2, as Java clients do).

    A topic is one of the table, or `/` and the whole name of another one (see `cluster_name`).
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


class Target(NamedTuple):
    """What a topic takes, by its own settings on the cluster."""

    partitions: int
    bytes_max: int
    """The largest record with its key, its headers and what the wire adds (`max.message.bytes`)."""
    keyed: bool = False
    """Whether each record needs a key: the topic is compacted."""


BATCH_OVERHEAD_BYTES = 90
"""What a record takes on the wire beside key, value and headers: the header of its batch, and its own."""
HEADER_OVERHEAD_BYTES = 10
"""What a header takes on the wire beside name and value."""


def wire_bytes(record: Outgoing) -> int:
    """The size of a record on the wire (bytes, uncompressed), as brokers hold it against `max.message.bytes`."""
    size = BATCH_OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"")
    return size + wire_header_bytes(record.headers) if record.headers else size


def wire_header_bytes(headers: Headers) -> int:
    """The size of headers on the wire (bytes)."""
    size = HEADER_OVERHEAD_BYTES * len(headers)
    for name, value in headers:
        size += len(name) if name.isascii() else len(name.encode("utf-8", "replace"))
        if value is not None:
            size += len(value)
    return size


class OffsetAndMetadata(NamedTuple):
    """A committed offset: the next one that a group reads; `metadata` is kept with it (at most 4,000 characters)."""

    next_offset: int
    metadata: str = ""


EndOffsets = Mapping[tuple[str, int], int]
"""The offset behind the last record produced, by topic and partition."""


class RebalanceListener(Protocol):
    """Hears of the rebalances of a consumer, from within its `poll` and `close`."""

    def assigned(self, partitions: Sequence[int]) -> None: ...
    def revoked(self, partitions: Sequence[int]) -> None:
        """The partitions still belong to this consumer until this returns: the moment to commit."""

    def lost(self, partitions: Sequence[int]) -> None:
        """The partitions belong to somebody else already: nothing may be committed."""


class GroupMetadata(Protocol):
    """A consumer's membership, by which a transaction fences one that was taken for dead. Opaque to its holder."""

    @property
    def topic(self) -> str:
        """The topic that is consumed."""


class Consumer(Protocol):
    """A member of a consumer group on one topic. Reads only what is committed."""

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Wait up to `timeout_s` for the first record, then take what is there at once.

        Raises Fenced or ClusterFailed; and OffsetLost, with its partition, for one that was cut: it is paused until it
        is sought and resumed, and the others are read on.
        """

    def commit(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        """Commit the group's offsets. Raises Rebalanced or Fenced when the partitions are not ours.

        Unanswered when nobody took them: commit them later.
        """

    def committed(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        """The group's committed offsets; partitions without one are absent."""

    def group_metadata(self) -> GroupMetadata:
        """The group metadata as of now, for a transaction on any thread. Call it on the thread that polls.

        Raises Rebalanced or Fenced when this consumer is no member.
        """

    def member_id(self) -> str:
        """The member id in the group, empty while this consumer is no member. It is another one each time it joins."""

    def seek(self, partition: int, offset: int) -> None: ...
    def pause(self, partitions: Sequence[int]) -> None: ...
    def resume(self, partitions: Sequence[int]) -> None: ...
    def assignment(self) -> list[int]: ...
    def lag(self) -> dict[int, int]:
        """Lag of each assigned partition (records not yet read), as far as known without asking the broker."""

    def close(self) -> None:
        """Leave the group. A second call does nothing."""


class Producer(Protocol):
    """An idempotent producer: per partition, records arrive once and in order."""

    def send(self, records: Sequence[Outgoing]) -> None:
        """Produce and wait until each record is acknowledged. Raises SendFailed when that does not come.

        RecordsRefused when the broker never takes some of them, and has all others; a producer with a delivery timeout
        raises DeliveryExpired when nothing of what is missing will be written.
        """

    def send_singly(self, records: Sequence[Outgoing]) -> None:
        """The same, with each record in a batch of its own: a topic may take no more at once than one of them.

        What `send` writes may come before or after it.
        """

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""


class TransactionalProducer(Protocol):
    """A producer whose records and offsets are committed together or not at all."""

    def transact(
        self, records: Sequence[Outgoing], member: GroupMetadata | None, offsets: Mapping[int, OffsetAndMetadata]
    ) -> EndOffsets:
        """Commit one transaction: the records, and the offsets of the member's group. Returns the end offsets.

        Raises Aborted (call again, after a rebalance, Rebalanced, when the next poll is over), Fenced, RecordsRefused
        (aborted; call again without them), or SendFailed (aborted; stop). Unanswered says that nobody knows what came
        of it: stop.
        """

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""


class Span(NamedTuple):
    """A stretch of a partition: from the offset `start` to before `end`."""

    start: int
    end: int


Wanted = Callable[[bytes | None, bytes | None], bool]
"""Whether a record is wanted, by its key and value."""


class Reader(Protocol):
    """Reads one topic at any offset, without a group, by one connection: for a search. Reads only what is committed."""

    def read(self, partition: int, start: int, max_records: int) -> list[Record]:
        """The first records at or after `start`: at least one when there is any, and at most `max_records`.

        Waits for no open transaction. In place of a batch that nobody can read stands one with a `flaw`. Raises
        ClusterFailed when the broker does not answer.
        """

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""


class Tail(Protocol):
    """Reads what is appended to partitions from a moment on, without a group, and leaves nothing behind."""

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Wait up to `timeout_s` for the first record, then take what is there at once. Rides out outages."""

    def lag(self) -> dict[tuple[str, int], int]:
        """Records not read yet, by topic and partition, as far as known without asking the broker.

        Call it on the thread that polls.
        """

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""


class Poster(Protocol):
    """An idempotent producer that does not wait: for one who hears of his record by something else, or not at all."""

    def post(self, record: Outgoing, failed: Callable[[str], None]) -> None:
        """Hand over a record. `failed` hears in words why it was not written, at once or within `poll`."""

    def poll(self) -> None:
        """Call back for records that were not written. Call it now and then, from any thread."""

    def close(self) -> None:
        """Write what is left, as far as that goes at once, and give the connection back."""


class Cluster(Protocol):
    """A Kafka cluster. Topic names are the table's; the implementation adds the prefix."""

    def producer(self, *, delivery_timeout_ms: int | None = None) -> Producer:
        """An idempotent producer. What is not delivered within `delivery_timeout_ms` after `send` began never is.

        `send` raises DeliveryExpired then.
        """

    def transactional(self, name: str) -> TransactionalProducer:
        """A transactional producer; a second one of the same name (transactional id) fences the first."""

    def consumer(
        self,
        topic: str,
        group: str,
        listener: RebalanceListener | None = None,
        *,
        from_start: bool = True,
        instance: str = "",
    ) -> Consumer:
        """Join a group. With `from_start` false a partition without a committed offset must be sought first.

        A static member, of an `instance` name, keeps its partitions while it is away for less than a session; its
        `poll` raises WrongSetup when another one takes its name. In memory each member gives them back when it leaves.
        """

    def scan(
        self,
        topic: str,
        partition: int,
        start: int = 0,
        *,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Record]:
        """Scan the committed records from `start` to the end as it was when the scan began.

        Waits for transactions that were open then. Ends early when `stop` says so. Raises Unanswered when the
        partition's leader does not tell its end.
        """

    def sift(self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None = None) -> Iterator[Record]:
        """Read these spans of partitions side by side, by one connection: the committed records that are `wanted`.

        Those of a partition come in their order, those of several mixed. Of the others, which may be many, no records
        are made (None: all are wanted). Spans lie within `ends`; waits for transactions that were open there.
        """

    def reader(self, topic: str) -> Reader:
        """A reader of single places of a topic; `scan` is for what is read from one end to the other."""

    def tail(self, places: Mapping[str, Collection[int] | None], name: str) -> Tail:
        """A tail of these partitions of topics (None: of all), from their ends as they are when this returns.

        A topic that is deleted and made anew is read from its first record, some perhaps twice; where it has one of
        these partitions no more, `poll` raises ClusterFailed.
        `name` is that of the group whose rights it uses, without the prefix. Raises WrongSetup for a topic or partition
        that is missing, Unanswered when a leader does not tell its end.
        """

    def poster(self, *, delivery_timeout_ms: int) -> Poster:
        """A producer that does not wait; what is not written in `delivery_timeout_ms` never is."""

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        """The first and the end offset of each partition, open transactions included.

        Raises Unanswered when a leader does not tell: no offset is ever below 0.
        """

    def end(self, topic: str, partition: int) -> int:
        """The end offset of one partition, as `ends` has it."""

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        """The offset of each partition's first record that is stamped `time_ms` or later; its end where none is."""

    def tombstones_ms(self, topic: str) -> int:
        """How long a compacted topic keeps tombstones (`delete.retention.ms`)."""

    def targets(self, topics: Collection[str]) -> Mapping[str, Target]:
        """What each of the topics takes; those that are missing or hidden from this user are absent.

        A topic whose settings this user may not read takes what the producer takes. Raises ClusterFailed.
        """

    def partitions(self, topic: str) -> int:
        """The number of partitions of the topic. Raises WrongSetup when it is missing, Unanswered for an outage."""

    def topic_id(self, topic: str) -> str:
        """The topic id: it names this incarnation of the topic. Raises WrongSetup when it is missing."""
