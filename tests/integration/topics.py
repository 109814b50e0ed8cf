"""The topics of the table under a test's prefix."""

from __future__ import annotations

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from refrain.schemas.topics import TOPICS
from tests.eventually import eventually

WAIT_S = 15.0
PARTITIONS_MAX = 4
"""Fewer than in life, so that a test starts quickly."""


def create_table(admin: AdminClient, prefix: str) -> None:
    """Create all topics of the table, with their settings, and wait until the broker serves them."""
    topics = [
        NewTopic(prefix + topic.name, min(topic.partitions, PARTITIONS_MAX), 1, config=topic.config())
        for topic in TOPICS
    ]
    for future in admin.create_topics(topics).values():
        future.result(WAIT_S)
    names = TopicCollection([topic.topic for topic in topics])
    places = [TopicPartition(topic.topic, number) for topic in topics for number in range(topic.num_partitions)]

    def served() -> bool:
        try:
            ends = admin.list_offsets({place: OffsetSpec.latest() for place in places})  # type: ignore[no-untyped-call]
            described = admin.describe_topics(names)
            return all(future.result(WAIT_S) for future in (*ends.values(), *described.values()))
        except KafkaException:
            return False

    eventually(served)
