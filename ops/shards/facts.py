"""What the cluster tells of the shards, and the order to recover one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException

from refrain.ops.cluster.connection import reach, unreachable
from refrain.ops.cluster.lag import ADMIN_S, group_positions
from refrain.ops.control.client import ControlClient
from refrain.ops.observe.stats import StatsReports
from refrain.ops.shards.rows import ShardRow, shard_rows
from refrain.schemas.control import RecoverShard
from refrain.streams.kafka.cluster import KafkaCluster

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from refrain.schemas.base import RecoveryWay
    from refrain.streams.settings import Settings

GROUP, TOPIC = "lookup", "journal"


def look(settings: Settings) -> list[ShardRow]:
    """The shards as they are. Raises Unreachable, WrongSetup or ClusterFailed."""
    admin = reach(settings)
    cluster = KafkaCluster(settings)
    positions = group_positions(admin, settings, GROUP, TOPIC, cluster.partitions(TOPIC))
    return shard_rows(cluster.ends(TOPIC), positions, _owners(admin, settings), StatsReports(cluster).reports())


def order_recovery(
    settings: Settings, partition: int, how: RecoveryWay, position: int, who: str, why: str, timeout_s: float
) -> None:
    """Order a recovery and wait until the shard goes on. Raises CommandRefused, or ClusterFailed after `timeout_s`."""
    client = ControlClient(settings)
    reports = StatsReports(client.cluster)
    client.send(RecoverShard(who=who, why=why, partition=partition, how=how, position=position))
    client.wait_until(goes_on(reports, partition, position), timeout_s, f"shard {partition} is stopped")


def goes_on(reports: StatsReports, partition: int, position: int) -> Callable[[], bool]:
    """Whether the shard is not stopped at that position any more, asked again and again."""

    def asked() -> bool:
        report = reports.reports().get(partition)
        stopped = None if report is None else report.stopped
        return stopped is None or stopped.position != position

    return asked


def _owners(admin: AdminClient, settings: Settings) -> dict[int, str]:
    """By partition, the worker that has it."""
    group_id = settings.prefix + GROUP
    try:
        found = admin.describe_consumer_groups([group_id], request_timeout=ADMIN_S)[group_id].result()
    except KafkaException as problem:
        if problem.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        raise unreachable(settings, problem) from problem
    if found.state in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD):
        return {}
    name = settings.prefix + TOPIC
    return {
        place.partition: f"{member.client_id}@{member.host.lstrip('/')}"
        for member in found.members
        if member.assignment is not None
        for place in member.assignment.topic_partitions
        if place.topic == name
    }
