"""The shards: one a partition of `journal`, and as many partitions of `documents` and of `decisions`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from refrain.schemas.base import QuestionKey
from refrain.schemas.control import PolicyInForce
from refrain.schemas.policy import CategoryPolicy
from refrain.schemas.topics import SHARDED
from refrain.streams.errors import ClusterFailed, Refusal, RefusalCode, WrongSetup
from refrain.streams.kafka.incarnation import TopicMadeAnew
from refrain.streams.kafka.interface import Cluster

LOOK_EVERY_S = 2.0


def shard_key(space: str, category: str, context: str, slices: int) -> bytes:
    """The key of `journal` by which the questions of a context (hex) come to their shard."""
    return f"{space}/{category}/{int(context, 16) % slices}".encode()


def space_of(key: QuestionKey, category: CategoryPolicy) -> str:
    """Whose entries may serve: those of all tenants only where the key and the category in force are both shared."""
    return "*" if category.scope == "shared" and key.space == "*" else key.tenant


class Shards(NamedTuple):
    """The shards of a journal, as processors address them that answer what a shard asked."""

    partitions: int
    incarnation: str
    """Its topic id."""
    look: Callable[[], str] | None = None
    """Asks for the topic id of the journal that is there now. Raises ClusterFailed."""

    def is_there(self) -> bool:
        """Whether the journal that is there now is this one. Raises ClusterFailed or WrongSetup where none is known."""
        return self.look is None or self.look() == self.incarnation

    def wrong_shard(self, incarnation: str, partition: int) -> Refusal | None:
        """The refusal of an answer for a shard that is not one of these; None when it is.

        Raises ClusterFailed where it is of a journal that was made since: the worker must begin again.
        """
        if incarnation != self.incarnation:
            if self.look is not None and self.look() == incarnation:
                raise journal_made_anew()
            return Refusal(RefusalCode.NOT_ASKED, "it was asked through another incarnation of the journal")
        if not 0 <= partition < self.partitions:
            return Refusal(RefusalCode.NOT_ASKED, f"the journal has {self.partitions} partitions, no {partition}")
        return None


def journal_made_anew() -> ClusterFailed:
    """What a worker ends with that knows another journal than the one that is there."""
    return TopicMadeAnew("journal")


def journal_shards(cluster: Cluster, clock: Callable[[], float] = time.monotonic) -> Shards:
    """The shards of the journal that is there; which one that is is looked at again once in `LOOK_EVERY_S`."""
    known, looked_s = cluster.topic_id("journal"), clock()

    def look() -> str:
        nonlocal known, looked_s
        if clock() - looked_s >= LOOK_EVERY_S:
            known, looked_s = cluster.topic_id("journal"), clock()
        return known

    return Shards(cluster.partitions("journal"), known, look)


def check_kept(policy: PolicyInForce | None, topic_id: str, shards: int) -> None:
    """Check that the journal has as many partitions as when the policy in force was given to its shards.

    Raises WrongSetup: whoever adds partitions has keys belong to other shards, which know nothing of what was kept.
    """
    kept = None if policy is None else policy.journal
    if kept is not None and kept.topic_id == topic_id and kept.partitions != shards:
        raise WrongSetup(repartitioned(shards, kept.partitions))


def repartitioned(now: int, before: int) -> str:
    """What is to be told of a journal to which partitions were added."""
    return (
        f"journal has {now} partitions now and had {before}: keys would belong to other shards, which hold nothing of"
        " theirs; partitions cannot be taken away: delete `journal` and `documents` (the cache starts empty), run"
        " `refrain topics create --partitions-journal N`, and apply the policy again"
    )


def shards_of(cluster: Cluster) -> int:
    """The number of shards. Raises WrongSetup when a topic is missing or their partitions differ."""
    journal, *others = ((topic, cluster.partitions(topic)) for topic in SHARDED)
    for topic, partitions in others:
        if partitions != journal[1]:
            raise WrongSetup(
                f"{journal[0]} has {journal[1]} partitions and {topic} {partitions}: a shard has one of each, so they"
                " must be the same: `refrain topics check` says what to do"
            )
    return journal[1]
