"""Names that an option may give: the categories that there are, and the tenants and models that were seen lately.

A category comes from a policy, so one that none defines is a mistake. Tenants are whoever asks, and models what they
ask for: of one that was not seen that is said, and the command goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from refrain.ops.terminal import output
from refrain.ops.terminal.choices import check_choice
from refrain.streams.nearest import nearest

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings

NO_CATEGORY = "-"
"""In figures and filters: requests of no category that the policy defines."""
RECENT_DECISIONS = 2_000
"""Decisions whose tenants and models count as seen, all shards together."""


class Seen(NamedTuple):
    """Names in the latest decisions."""

    tenants: frozenset[str]
    models: frozenset[str]


def check_names(
    settings: Settings,
    *,
    category: str | None = None,
    tenant: str | None = None,
    model: str | None = None,
    or_none: bool = False,
) -> None:
    """As `check_names_on`, on the cluster of the settings. Raises Unreachable as well.

    Asks nothing where nothing is named.
    """
    if category is None and tenant is None and model is None:
        return
    from refrain.ops.cluster.connection import reach
    from refrain.streams.kafka.cluster import KafkaCluster

    reach(settings)
    with KafkaCluster(settings) as cluster:
        check_names_on(cluster, category=category, tenant=tenant, model=model, or_none=or_none)


def check_names_on(
    cluster: Cluster,
    *,
    category: str | None = None,
    tenant: str | None = None,
    model: str | None = None,
    or_none: bool = False,
) -> None:
    """Check names against the cluster; a hint tells of a tenant or model that was not seen lately.

    Raises typer.BadParameter for a category that no policy and no shard knows, WrongSetup or ClusterFailed.
    """
    check_category(cluster, category, or_none=or_none)
    if tenant is None and model is None:
        return
    seen = seen_lately(cluster)
    if tenant is not None:
        hint_unseen(f"nobody of tenant {tenant!r} has asked lately", tenant, seen.tenants)
    if model is not None:
        hint_unseen(f"nobody has asked model {model!r} lately", model, seen.models)


def check_category(cluster: Cluster, category: str | None, *, or_none: bool = False) -> None:
    """Raises typer.BadParameter for a category that is not known, with the nearest; WrongSetup or ClusterFailed.

    With `or_none` it may be `-`, for requests of none. Nothing is wrong before the first policy.
    """
    known = set() if category is None else known_categories(cluster)
    if category is not None and known:
        check_choice(category, known | {NO_CATEGORY} if or_none else known, "category", "--category")


def is_of(category: str | None, wanted: str | None) -> bool:
    """Whether something of a category, or of none, is wanted: `-` wants what has none, None wants all."""
    return wanted is None or (category or NO_CATEGORY) == wanted


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


def seen_lately(cluster: Cluster) -> Seen:
    """The tenants and models of the latest decisions, and the models that the policy names.

    Raises WrongSetup or ClusterFailed.
    """
    from refrain.schemas.decisions import Decision
    from refrain.streams.runtime.policy_follower import PolicyWatch

    ends = cluster.ends("decisions")
    share = max(1, RECENT_DECISIONS // max(1, len(ends)))
    policy = PolicyWatch(cluster).latest()
    tenants: set[str] = set()
    models: set[str] = set() if policy is None else set(policy.policy.models)
    for partition, (first, end) in ends.items():
        for record in deque(cluster.scan("decisions", partition, max(first, end - share)), share):
            try:
                decision = Decision.decode(record.value or b"")
            except ValidationError:
                continue
            tenants.add(decision.tenant)
            models.add(decision.model)
    return Seen(frozenset(tenants), frozenset(models))


def hint_unseen(said: str, name: str, seen: Collection[str]) -> None:
    """Say that a name was not seen, and which one was probably meant; nothing where none was seen at all."""
    if seen and name not in seen:
        meant = nearest(name, tuple(sorted(seen)))
        output.hint(f"{said}{f': did you mean {meant!r}?' if meant else ''}")
