"""How far a consumer group is behind its topic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from ops.cluster import unreachable
from streams.errors import WrongSetup

if TYPE_CHECKING:
    from streams.settings import Settings

ADMIN_S = 10.0


@dataclass(frozen=True)
class Behind:
    """Records between a group's positions and the ends; `members` of 0 says that nobody works on them."""

    records: int
    members: int
    partitions: int


def behind(admin: AdminClient, settings: Settings, group: str, topic: str) -> Behind:
    """How far `group` is behind `topic` (names of the table). Raises LogFailed or WrongSetup."""
    name, group_id = settings.prefix + topic, settings.prefix + group
    try:
        found = admin.list_topics(name, timeout=ADMIN_S).topics[name]
        if found.error is not None:
            raise WrongSetup(f"topic {name} does not exist: run `refrain topics create`")
        places = [TopicPartition(name, number) for number in found.partitions]
        first = _offsets(admin, places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        end = _offsets(admin, places, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        positions = _positions(admin, group_id, places)
        records = sum(max(0, end[n] - max(positions.get(n, first[n]), first[n])) for n in end)
        return Behind(records, _members(admin, group_id), len(places))
    except KafkaException as problem:
        raise unreachable(settings, problem) from problem


def _offsets(admin: AdminClient, places: list[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
    futures = admin.list_offsets(dict.fromkeys(places, spec), request_timeout=ADMIN_S)
    return {place.partition: future.result().offset for place, future in futures.items()}


def _positions(admin: AdminClient, group_id: str, places: list[TopicPartition]) -> dict[int, int]:
    asked = [ConsumerGroupTopicPartitions(group_id, places)]
    try:
        found = admin.list_consumer_group_offsets(asked, request_timeout=ADMIN_S)[group_id].result()
    except KafkaException as problem:
        if problem.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        raise
    return {place.partition: place.offset for place in found.topic_partitions if place.offset >= 0}


def _members(admin: AdminClient, group_id: str) -> int:
    try:
        described = admin.describe_consumer_groups([group_id], request_timeout=ADMIN_S)[group_id].result()
    except KafkaException as problem:
        if problem.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise
    return len(described.members)
