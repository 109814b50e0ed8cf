"""Pairs of the running system that nobody labelled yet, nearest to the threshold first."""

from __future__ import annotations

from collections.abc import Collection

from refrain.ops.cluster.scan import records
from refrain.ops.hits.labels import Texts
from refrain.ops.hits.near import Wanted, near_decisions
from refrain.ops.hits.texts import FoundPairs, pairs_of
from refrain.schemas.policy import Cacheable, Policy
from refrain.streams.kafka.interface import Cluster

DECISIONS = "decisions"


def pairs_to_label(cluster: Cluster, wanted: Wanted, policy: Policy | None, known: Collection[Texts]) -> FoundPairs:
    """Pairs to label, none of those that are `known` by their texts."""
    near = near_decisions(records(cluster, DECISIONS, "reading decisions"), without_uncacheable(wanted, policy))
    found = pairs_of(cluster, near)
    return found._replace(pairs=[pair for pair in found.pairs if (pair.text_a, pair.text_b) not in known])


def without_uncacheable(wanted: Wanted, policy: Policy | None) -> Wanted:
    """What is wanted, without categories that the policy in force never keeps: records of them may still be there."""
    never = {name for name, each in (policy.categories if policy else {}).items() if each.cache is Cacheable.NEVER}
    return wanted._replace(never=never)
