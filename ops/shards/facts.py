"""What the cluster tells of the shards, and the order to recover one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from refrain.ops.cluster.connection import reach
from refrain.ops.cluster.lag import group_owners, group_positions
from refrain.ops.control.client import ControlClient
from refrain.ops.observe.stats import StatsReports
from refrain.ops.shards.rows import ShardRow, shard_rows
from refrain.schemas.control import RecoverShard
from refrain.streams.kafka.cluster import KafkaCluster

if TYPE_CHECKING:
    from refrain.schemas.base import RecoveryWay
    from refrain.streams.settings import Settings

GROUP, TOPIC = "lookup", "journal"


def look(settings: Settings) -> list[ShardRow]:
    """The shards as they are. Raises Unreachable, WrongSetup or ClusterFailed."""
    admin = reach(settings)
    cluster = KafkaCluster(settings)
    positions = group_positions(admin, settings, GROUP, TOPIC, cluster.partitions(TOPIC))
    return shard_rows(
        cluster.ends(TOPIC), positions, group_owners(admin, settings, GROUP, TOPIC), StatsReports(cluster).reports()
    )


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
