"""The log on a real broker keeps the promises of every log."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from streams.kafka_log import KafkaLog
from streams.settings import Settings
from tests.streams.log_contract import Cluster, LogContract

ADMIN_S = 15.0


class TestKafkaLog(LogContract):
    @pytest.fixture
    def cluster(self, settings: Settings, admin: AdminClient) -> Cluster:
        def create(topic: str, partitions: int) -> None:
            wanted = NewTopic(settings.prefix + topic, partitions, config={"max.message.bytes": "100000"})
            admin.create_topics([wanted])[wanted.topic].result(ADMIN_S)

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

        return Cluster(KafkaLog(settings), create, recreate)
