"""Names that an option may give: the categories that there are, and the tenants that have asked lately.

A category comes from a policy, so one that none defines is a mistake. Tenants are whoever asks: of one that was not
seen that is said, and the command goes on.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pydantic import ValidationError

from refrain.ops.terminal import output
from refrain.ops.terminal.choices import check_choice
from refrain.streams.nearest import nearest

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings

NO_CATEGORY = "-"
"""In figures: requests of no category that the policy defines."""
RECENT_DECISIONS = 2_000
"""Decisions whose tenants count as seen, all shards together."""


def check_names(settings: Settings, *, category: str | None = None, tenant: str | None = None) -> None:
    """Check names against the cluster. Raises typer.BadParameter for a category that no policy and no shard knows.

    Raises Unreachable, WrongSetup or ClusterFailed as well; asks nothing where nothing is named.
    """
    if category is None and tenant is None:
        return
    from refrain.ops.cluster.connection import reach
    from refrain.streams.kafka.cluster import KafkaCluster

    reach(settings)
    with KafkaCluster(settings) as cluster:
        check_category(cluster, category)
        if tenant is not None:
            hint_tenant(tenant, recent_tenants(cluster))


def check_category(cluster: Cluster, category: str | None, option: str = "--category") -> None:
    """Raises typer.BadParameter for a category that is not known, with the nearest; WrongSetup or ClusterFailed.

    Nothing is wrong before the first policy.
    """
    known = set() if category is None else known_categories(cluster)
    if category is not None and known:
        check_choice(category, known | {NO_CATEGORY}, "category", option)


def known_categories(cluster: Cluster) -> set[str]:
    """The categories of the policy in force and those that shards have counted. Raises WrongSetup or ClusterFailed."""
    from refrain.schemas.stats import ShardStats
    from refrain.streams.runtime.policy_follower import PolicyWatch

    policy = PolicyWatch(cluster).latest()
    found = set() if policy is None else set(policy.policy.categories)
    for record in cluster.scan("stats", 0):
        try:
            found |= ShardStats.decode(record.value or b"").categories.keys()
        except ValidationError:
            # Of a worker of another version: its categories are not known.
            continue
    return found - {NO_CATEGORY}


def recent_tenants(cluster: Cluster) -> set[str]:
    """The tenants of the latest decisions. Raises WrongSetup or ClusterFailed."""
    from refrain.schemas.decisions import Decision

    ends = cluster.ends("decisions")
    share = max(1, RECENT_DECISIONS // max(1, len(ends)))
    found = set()
    for partition, (first, end) in ends.items():
        for record in deque(cluster.scan("decisions", partition, max(first, end - share)), share):
            try:
                found.add(Decision.decode(record.value or b"").tenant)
            except ValidationError:
                continue
    return found


def hint_tenant(tenant: str, seen: set[str]) -> None:
    """Say that a tenant has not asked lately, and which one was probably meant."""
    if seen and tenant not in seen:
        meant = nearest(tenant, tuple(sorted(seen)))
        output.hint(f"nobody of tenant {tenant!r} has asked lately{f': did you mean {meant!r}?' if meant else ''}")
