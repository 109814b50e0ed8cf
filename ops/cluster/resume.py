"""Offsets of `control` that was deleted and made anew: past those of the one before, since they are versions.

Shards and `govern` take no command twice, and know one by its offset. In a topic that begins at 0 again all commands
would be taken for those of the one before, until its offset has passed theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer

from refrain.ops.cluster.connection import client, create_client
from refrain.ops.cluster.last_commit import last_meta
from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.faults import failure_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from refrain.schemas.control import PolicyInForce
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings

CONTROL = "control"
NONE_GIVEN = -1
FILLERS_MAX = 100_000
"""Records of one transaction."""
STEP_S = 30.0


def last_version(cluster: Cluster, policy: PolicyInForce | None, *, all_shards: bool = True) -> int:
    """The version of the last command that is known to have been carried out; `NONE_GIVEN` before the first.

    `policy` is the one in force. Nearly all commands go to every shard, so that any of them knows it about as well as
    `all_shards`.
    """
    return max(NONE_GIVEN if policy is None else policy.version, _folded(cluster, all_shards=all_shards))


def _folded(cluster: Cluster, *, all_shards: bool) -> int:
    versions = _versions_of_shards(cluster)
    return max(versions, default=NONE_GIVEN) if all_shards else next(iter(versions), NONE_GIVEN)


def _versions_of_shards(cluster: Cluster) -> Iterable[int]:
    journal = cluster.topic_id("journal")
    for partition in cluster.ends("documents"):
        meta = last_meta(cluster, partition)
        if meta is not None and meta.incarnation == journal:
            yield meta.highwater.get(CONTROL, NONE_GIVEN)


def why_ignored(end: int, last: int) -> str | None:
    """Why commands that are written at the `end` of `control` are not taken, None where they are. Pure."""
    if end > last:
        return None
    return (
        f"`control` was deleted and made anew: it ends at {end}, and version {last} was carried out, so that no command"
        " is taken before its offset is past that"
    )


def move_end_past(settings: Settings, cluster: Cluster, last: int) -> int:
    """Move the end of `control` past a version; returns it.

    What takes the offsets are records of transactions that are aborted: nobody ever reads them. Raises ClusterFailed
    or Forbidden.
    """
    producer = create_client(
        Producer,
        {**client(settings), "transactional.id": f"{settings.prefix}resume", "compression.type": "lz4", "linger.ms": 5,
         "queue.buffering.max.messages": 2 * FILLERS_MAX},
    )  # fmt: skip
    try:
        producer.init_transactions(STEP_S)
        while (end := cluster.end(CONTROL, 0)) <= last:
            producer.begin_transaction()
            for _ in range(min(FILLERS_MAX, last + 1 - end)):
                producer.produce(settings.prefix + CONTROL, b"", partition=0)
            if producer.flush(STEP_S):
                raise ClusterFailed(f"`control` did not take its fillers within {STEP_S:g} s: run it again")
            producer.abort_transaction(STEP_S)
    except KafkaException as problem:
        raise failure_of(problem.args[0], f"moving the end of {settings.prefix}{CONTROL}") from problem
    return end
