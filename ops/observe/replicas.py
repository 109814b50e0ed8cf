"""Replicas of the partitions that Refrain needs, as the brokers' metadata tell them: who is missing, and what of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from refrain.schemas.topics import TOPICS

if TYPE_CHECKING:
    from confluent_kafka.admin import ClusterMetadata

    from refrain.streams.settings import Settings

INTERNAL = ("__consumer_offsets", "__transaction_state")
"""Topics of the brokers without which no worker can commit."""


@dataclass(frozen=True)
class PartitionReplicas:
    """Replicas of one partition: broker ids of all of them and of those in sync; a leader of -1 is none."""

    topic: str
    partition: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    leader: int


@dataclass(frozen=True)
class ReplicaState:
    """State of all partitions together: counts of those that are short, and the brokers that are missing."""

    partitions: int = 0
    under_replicated: int = 0
    """With fewer replicas in sync than there are."""
    below_minimum: int = 0
    """With fewer in sync than `min_insync`: nothing can be written to them."""
    leaderless: int = 0
    """Without a leader: nothing can be read from them either."""
    missing: tuple[int, ...] = field(default=())
    """Ids of brokers that hold replicas and are not there."""

    @property
    def is_short(self) -> bool:
        """Whether anything is short."""
        return bool(self.under_replicated or self.below_minimum or self.leaderless or self.missing)

    def __str__(self) -> str:
        told = [f"{self.under_replicated} of {self.partitions} partitions under-replicated"]
        if self.below_minimum:
            told.append(f"{self.below_minimum} below min_insync, which take no record")
        if self.leaderless:
            told.append(f"{self.leaderless} without a leader")
        if self.missing:
            told.append(f"missing: {', '.join(f'broker {number}' for number in self.missing)}")
        return "; ".join(told)


def partitions_of(found: ClusterMetadata, settings: Settings) -> list[PartitionReplicas]:
    """The partitions of Refrain's topics and of the brokers' own, as metadata tell them."""
    names = [settings.prefix + topic.name for topic in TOPICS] + list(INTERNAL)
    return [
        PartitionReplicas(name, number, tuple(one.replicas), tuple(one.isrs), one.leader)
        for name in names
        if name in found.topics and found.topics[name].error is None
        for number, one in found.topics[name].partitions.items()
    ]


def summarise(partitions: Iterable[PartitionReplicas], alive: Iterable[int], min_insync: int) -> ReplicaState:
    """Summary of partitions by the brokers that are there (`alive`, their ids). Pure."""
    there, every = frozenset(alive), list(partitions)
    in_sync = [len(there & frozenset(one.in_sync)) for one in every]
    return ReplicaState(
        partitions=len(every),
        under_replicated=sum(count < len(one.replicas) for count, one in zip(in_sync, every, strict=True)),
        below_minimum=sum(
            count < min(min_insync, len(one.replicas)) for count, one in zip(in_sync, every, strict=True)
        ),
        leaderless=sum(one.leader not in there for one in every),
        missing=tuple(sorted({number for one in every for number in one.replicas} - there)),
    )
