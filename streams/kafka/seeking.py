"""Sends a client elsewhere in a partition, also one that has stopped there."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition

from refrain.streams.kafka.faults import failure_of


def seek_to(consumer: Consumer, name: str, partition: int, offset: int, *, anew: bool = False) -> None:
    """Have the client read a partition from an offset on. Raises ClusterFailed.

    Where it asked for an offset that is not there, it has stopped, and seeks no more: it is given the partition anew,
    as where the caller wants it `anew`.
    """
    place = TopicPartition(name, partition, offset)
    try:
        if anew or not _sought(consumer, place):
            consumer.incremental_unassign([place])
            consumer.incremental_assign([place])
    except KafkaException as problem:
        raise failure_of(problem.args[0], f"seeking {name}[{partition}]") from problem


def _sought(consumer: Consumer, place: TopicPartition) -> bool:
    """Whether the client reads on there."""
    try:
        consumer.seek(place)
    except KafkaException:
        return False
    return True
