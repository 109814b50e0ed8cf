"""The log on a real broker keeps the promises of every log."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.settings import Settings
from tests.integration.make_topic import ADMIN_S, make_topic
from tests.streams.kafka.cluster_contract import ClusterContract, ClusterUnderTest


class TestKafkaLog(ClusterContract):
    @pytest.fixture
    def cluster(self, settings: Settings, admin: AdminClient) -> ClusterUnderTest:
        def create(topic: str, partitions: int) -> None:
            make_topic(admin, settings.prefix + topic, partitions, max_message_bytes="100000")

        def recreate(topic: str, partitions: int) -> None:
            name = settings.prefix + topic
            admin.delete_topics([name])[name].result(ADMIN_S)
            for _ in range(100):
                try:
                    create(topic, partitions)
                except KafkaException:  # the deletion is still under way
                    continue
                return
            create(topic, partitions)

        def create_other(topic: str, partitions: int, max_bytes: int, compacted: bool) -> None:
            policy = "compact" if compacted else "delete"
            name = settings.prefix + topic
            make_topic(admin, name, partitions, max_message_bytes=str(max_bytes), cleanup_policy=policy)

        def delete(topic: str) -> None:
            name = settings.prefix + topic
            admin.delete_topics([name])[name].result(ADMIN_S)

        return ClusterUnderTest(KafkaCluster(settings), create, recreate, create_other, delete)
