"""Offsets that the client gives: the one place that tells them from what stands for none."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from refrain.streams.errors import Unanswered
from refrain.streams.kafka.config import ADMIN_TIMEOUT_S
from refrain.streams.kafka.faults import failure_of
from refrain.streams.kafka.interface import OffsetAndMetadata

Place = tuple[str, int]
"""A topic's name on the cluster, and a partition."""


def known_offset(offset: int | None, of: str) -> int:
    """The offset, 0 or more. Raises Unanswered for any other: the client gives one below 0 where it knows none.

    A question that times out may come back with such a one (-1001) and no error.
    """
    if offset is None or offset < 0:
        raise Unanswered(f"the offset of {of} is not known ({offset}): its leader does not answer")
    return offset


def end_so_far(consumer: Consumer, name: str, partition: int) -> int:
    """The end of a partition as far as the client knows it, without a question; below 0 where it does not."""
    _, end = consumer.get_watermark_offsets(TopicPartition(name, partition), cached=True)
    return int(end)


def committed_offsets(consumer: Consumer, name: str, partitions: Iterable[int]) -> dict[int, OffsetAndMetadata]:
    """The offsets that the consumer's group has committed; partitions without one are absent. Raises ClusterFailed."""
    try:
        found = consumer.committed([TopicPartition(name, each) for each in partitions], timeout=ADMIN_TIMEOUT_S)
    except KafkaException as problem:
        raise failure_of(problem.args[0], f"asking for committed offsets of {name}") from problem
    for each in found:
        if each.error is not None:
            raise failure_of(each.error, f"asking for the committed offset of {name}[{each.partition}]")
    return {each.partition: OffsetAndMetadata(each.offset, each.metadata or "") for each in found if each.offset >= 0}


def first_offset(consumer: Consumer, name: str, partition: int, timeout_s: float) -> int | None:
    """The first offset of a partition; None where its leader does not tell it in time."""
    try:
        first, _ = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout_s)
        return known_offset(first, f"{name}[{partition}]")
    except (KafkaException, Unanswered):
        return None
