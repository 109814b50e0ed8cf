"""The log as the processors see it: records in, records out, transactions, and who reads what.

Two implementations pass the same contract tests: `kafka_log` (the real broker) and `memory_log`
(its twin, for tests and for trying policies without a broker).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

Headers = tuple[tuple[str, bytes | None], ...]


def cluster_name(prefix: str, topic: str) -> str:
    """The topic's name on the cluster: under the prefix, unless it begins with `/`, which no Kafka name holds."""
    return topic[1:] if topic.startswith("/") else prefix + topic


class Record(NamedTuple):
    """A record as read."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Outgoing(NamedTuple):
    """A record to write; without a partition its key decides (murmur2, as Java clients do).

    A topic is one of the table, or `/` and the whole name of another one (see `cluster_name`).
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


class OffsetAndMetadata(NamedTuple):
    """Where a group goes on in a partition; `metadata` is kept with it (at most 4,000 characters)."""

    next_offset: int
    metadata: str = ""


EndOffsets = Mapping[tuple[str, int], int]
"""The next offset after what was written, by topic and partition."""


class RebalanceListener(Protocol):
    """What a reader tells its owner of a rebalance, from within `poll`."""

    def assigned(self, partitions: Sequence[int]) -> None: ...
    def revoked(self, partitions: Sequence[int]) -> None:
        """The partitions still belong to this reader until this returns: the moment to commit."""

    def lost(self, partitions: Sequence[int]) -> None:
        """The partitions belong to somebody else already: nothing may be committed."""


class GroupMetadata(Protocol):
    """What a transaction names so that a reader that was taken for dead cannot commit. Opaque to its holder."""

    @property
    def topic(self) -> str:
        """The topic that is read."""


class Consumer(Protocol):
    """A member of a consumer group on one topic. Reads only what is committed."""

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Wait up to `timeout_s` for the first record, then take what is there at once.

        Raises Fenced, OffsetLost or ClusterFailed.
        """

    def commit(self, positions: Mapping[int, OffsetAndMetadata]) -> None:
        """Keep the group's positions. Raises Rebalanced or Fenced when the partitions are not ours."""

    def committed(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        """The group's positions; partitions without one are absent."""

    def group_metadata(self) -> GroupMetadata:
        """The membership as of now, for a transaction on any thread. Call it on the thread that polls.

        Raises Rebalanced or Fenced when this reader is no member.
        """

    def member_id(self) -> str:
        """This reader's name in its group, empty while it is no member. It is another one each time it joins."""

    def seek(self, partition: int, offset: int) -> None: ...
    def pause(self, partitions: Sequence[int]) -> None: ...
    def resume(self, partitions: Sequence[int]) -> None: ...
    def assignment(self) -> list[int]: ...
    def lag(self) -> dict[int, int]:
        """Records not yet read of each assigned partition, as far as known without asking the broker."""

    def close(self) -> None:
        """Leave the group. A second call does nothing."""


class Producer(Protocol):
    """An idempotent producer: per partition, records arrive once and in order."""

    def send(self, records: Sequence[Outgoing]) -> None:
        """Write and wait until each is acknowledged. Raises SendFailed naming the first that was not.

        Raises DeliveryExpired, of a producer that gives records up, when nothing of what is missing will be written.
        """

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""


class TransactionalProducer(Protocol):
    """A producer whose writes and positions become visible together or not at all."""

    def transact(
        self, records: Sequence[Outgoing], member: GroupMetadata | None, positions: Mapping[int, OffsetAndMetadata]
    ) -> EndOffsets:
        """One transaction: the records, and the positions of the member's group. Returns how far the records reach.

        Raises Rebalanced (aborted; call again after a poll), Fenced, or SendFailed (aborted; stop).
        """

    def close(self) -> None:
        """Give the connection back. A second call does nothing."""


class Cluster(Protocol):
    """A cluster. Topic names are the table's; the implementation adds the prefix."""

    def producer(self, *, delivery_timeout_ms: int | None = None) -> Producer:
        """With `delivery_timeout_ms` what has not left this process so long after `send` began never does.

        `send` raises DeliveryExpired then.
        """

    def transactional(self, name: str) -> TransactionalProducer:
        """A second writer of the same name fences the first."""

    def consumer(
        self, topic: str, group: str, listener: RebalanceListener | None = None, *, from_start: bool = True
    ) -> Consumer:
        """Join a group. With `from_start` false a partition without a position must be sought first."""

    def scan(
        self,
        topic: str,
        partition: int,
        start: int = 0,
        *,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Record]:
        """All committed records from `start` to the end as it was when the scan began.

        Waits for transactions that were open then. Ends early when `stop` says so.
        """

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        """The first offset and the end of each partition, open transactions included."""

    def tombstones_ms(self, topic: str) -> int:
        """How long a compacted topic keeps deletions."""

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has. Raises WrongSetup when it is missing."""

    def topic_id(self, topic: str) -> str:
        """The identity of this incarnation of the topic. Raises WrongSetup when it is missing."""
