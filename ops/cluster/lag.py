"""Consumer lag: how far a group is behind its topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from refrain.ops.cluster.connection import unreachable
from refrain.ops.cluster.held import Held, held
from refrain.ops.cluster.single_records import READ_S, reader, written_at_ms
from refrain.streams.kafka.config import client_id

if TYPE_CHECKING:
    from confluent_kafka.admin import MemberDescription

    from refrain.streams.settings import Settings

ADMIN_S = 10.0
CLOSE = 100
"""Offsets behind from which on transactions' ends, which take an offset and are no records, do not matter."""


Ends = Callable[[str], Mapping[int, tuple[int, int]]]
"""Tells the first offset and the end of each partition of a topic."""


class LostPosition(NamedTuple):
    """A position of a group that its partition does not have: cut off, or of another topic of that name."""

    partition: int
    position: int
    first: int
    end: int


class Stranger(NamedTuple):
    """A member of a group that does not call itself as Refrain's workers do."""

    who: str
    """Client and host."""
    partitions: tuple[int, ...]
    """Those of the topic that it has: nobody else works on them."""


@dataclass(frozen=True)
class Behind:
    """Lag: records between a group's positions and the ends; `members` of 0 says that nobody works on them."""

    records: int
    members: int
    oldest_ms: int | None = None
    """When the oldest of them was written, of the partition that is the furthest behind; None without one."""
    lost: tuple[LostPosition, ...] = ()
    """Partitions whose next record is gone."""
    strangers: tuple[Stranger, ...] = ()
    held: tuple[Held, ...] = ()
    """Partitions that an open transaction holds up: what stands behind it is in no other number."""


def behind(admin: AdminClient, settings: Settings, group: str, topic: str, ends: Ends) -> Behind:
    """Lag of `group` on `topic` (names of the table), whose partitions end where `ends` says.

    Raises ClusterFailed or WrongSetup.
    """
    name, group_id = settings.prefix + topic, settings.prefix + group
    try:
        spans = ends(topic)
        first, end = {n: low for n, (low, _) in spans.items()}, {n: high for n, (_, high) in spans.items()}
        positions = _positions(admin, group_id, [TopicPartition(name, number) for number in spans])
        starts = {n: max(positions.get(n, first[n]), first[n]) for n in end}
        gaps = {n: end[n] - start for n, start in starts.items() if end[n] > start}
        near = [TopicPartition(name, n, starts[n]) for n, gap in gaps.items() if gap <= CLOSE]
        counted, oldest_ms = _count(settings, near)
        # Of a transaction that is open and has one record nobody is held up.
        silent = [n for n, gap in gaps.items() if gap > 1 and not counted.get(n)]
        holds = held(settings, [TopicPartition(name, n, end[n]) for n in silent])
        stuck = {each.partition for each in holds if each.offset <= starts[each.partition]}
        far = [n for n, gap in gaps.items() if gap > CLOSE and n not in stuck]
        if far:
            furthest = max(far, key=lambda n: gaps[n])
            oldest_ms = written_at_ms(settings, [TopicPartition(name, furthest, starts[furthest])]).get(furthest)
        records = sum(counted.get(n, gap) for n, gap in gaps.items() if n not in stuck)
        lost = lost_positions(positions, first, end)
        members = _described(admin, group_id)
        strangers = strangers_of(members, name, client_id(settings))
        return Behind(records, len(members), oldest_ms, lost, strangers, holds)
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem


def strangers_of(members: Sequence[MemberDescription], name: str, ours: str) -> tuple[Stranger, ...]:
    """The members that are no clients of the name `ours`, with what they have of a topic. Pure."""
    return tuple(
        Stranger(
            f"{member.client_id}@{member.host.lstrip('/')}",
            tuple(
                sorted(
                    place.partition
                    for place in (member.assignment.topic_partitions if member.assignment is not None else ())
                    if place.topic == name
                )
            ),
        )
        for member in members
        if member.client_id != ours
    )


def lost_positions(
    positions: Mapping[int, int], first: Mapping[int, int], end: Mapping[int, int]
) -> tuple[LostPosition, ...]:
    """The positions that their partitions do not have. Pure.

    A partition that was emptied behind a position at its end lost nothing: the last offset was a transaction's end.
    """
    return tuple(
        LostPosition(n, at, first[n], end[n])
        for n, at in sorted(positions.items())
        if n in end and (at > end[n] or (at < first[n] and not (first[n] == end[n] == at + 1)))
    )


def group_position(admin: AdminClient, settings: Settings, group: str, topic: str) -> int | None:
    """The offset that `group` goes on from in partition 0 of `topic`; None before its first. Raises ClusterFailed."""
    return group_positions(admin, settings, group, topic, 1).get(0)


def group_positions(admin: AdminClient, settings: Settings, group: str, topic: str, partitions: int) -> dict[int, int]:
    """The offsets that `group` goes on from, by partition; absent before its first. Raises ClusterFailed."""
    places = [TopicPartition(settings.prefix + topic, number) for number in range(partitions)]
    try:
        return _positions(admin, settings.prefix + group, places)
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem


def group_owners(admin: AdminClient, settings: Settings, group: str, topic: str) -> dict[int, str]:
    """By partition of the topic, the member of `group` that has it: client and host. Raises ClusterFailed."""
    try:
        members = _described(admin, settings.prefix + group)
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem
    return {
        place.partition: f"{member.client_id}@{member.host.lstrip('/')}"
        for member in members
        if member.assignment is not None
        for place in member.assignment.topic_partitions
        if place.topic == settings.prefix + topic
    }


def _count(settings: Settings, places: list[TopicPartition]) -> tuple[dict[int, int], int | None]:
    """The committed records from these places to the ends, and when the oldest was written.

    Offsets count the ends of transactions too. A partition that was not read to its end in `READ_S` is left out.
    """
    if not places:
        return {}, None
    oldest_ms: int | None = None
    counts = dict.fromkeys((place.partition for place in places), 0)
    read: dict[int, int] = {}
    consumer = reader(settings, {"enable.partition.eof": True})
    until = time.monotonic() + READ_S
    try:
        consumer.assign(places)
        while len(read) < len(counts) and time.monotonic() < until:
            for message in consumer.consume(1_000, 0.1):
                number, error = message.partition() or 0, message.error()
                if error is None:
                    counts[number] += 1
                    at_ms = message.timestamp()[1]
                    oldest_ms = at_ms if oldest_ms is None else min(oldest_ms, at_ms)
                elif error.code() == KafkaError._PARTITION_EOF:
                    read[number] = counts[number]
    finally:
        consumer.close()
    return read, oldest_ms


def notes_of(
    admin: AdminClient, settings: Settings, read: Sequence[tuple[str, str, int]]
) -> dict[tuple[str, str], dict[int, str]]:
    """What the commits of each group (with its topic, and how many partitions that has) say beside their offsets.

    Raises ClusterFailed or Forbidden.
    """
    asked = {
        (group, topic): _ask_committed(
            admin,
            settings.prefix + group,
            [TopicPartition(settings.prefix + topic, number) for number in range(partitions)],
        )
        for group, topic, partitions in read
    }
    try:
        return {
            each: {place.partition: place.metadata or "" for place in _places_of(answer)}
            for each, answer in asked.items()
        }
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem


def _positions(admin: AdminClient, group_id: str, places: list[TopicPartition]) -> dict[int, int]:
    return {place.partition: place.offset for place in _places_of(_ask_committed(admin, group_id, places))}


def _ask_committed(
    admin: AdminClient, group_id: str, places: list[TopicPartition]
) -> Future[ConsumerGroupTopicPartitions]:
    asked = [ConsumerGroupTopicPartitions(group_id, places)]
    return admin.list_consumer_group_offsets(asked, request_timeout=ADMIN_S)[group_id]


def _places_of(answer: Future[ConsumerGroupTopicPartitions]) -> list[TopicPartition]:
    """The offsets that a group has committed. Raises KafkaException."""
    try:
        found = answer.result().topic_partitions or []
    except KafkaException as problem:
        if problem.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return []
        raise
    return [place for place in found if place.offset >= 0]


def _described(admin: AdminClient, group_id: str) -> list[MemberDescription]:
    try:
        described = admin.describe_consumer_groups([group_id], request_timeout=ADMIN_S)[group_id].result()
    except KafkaException as problem:
        if problem.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return []
        raise
    members: list[MemberDescription] = described.members
    return members
