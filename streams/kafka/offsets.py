"""Offsets that the client gives: the one place that tells them from what stands for none."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from refrain.streams.errors import Unanswered


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
