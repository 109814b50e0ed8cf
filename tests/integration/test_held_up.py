"""A transaction that a client leaves open holds up who reads its topic: the doctor sees it, whatever waits behind."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from refrain.ops.cluster.lag import behind
from refrain.ops.observe.lag_findings import WAIT_MS_MAX, lag_findings
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import OffsetAndMetadata, Outgoing
from refrain.streams.settings import Settings
from tests.eventually import eventually
from tests.integration.make_topic import ADMIN_S, make_topic


@pytest.mark.parametrize("others", [3, 150])
def test_the_doctor_names_the_partition_that_an_open_transaction_holds_up(
    settings: Settings, admin: AdminClient, others: int
) -> None:
    name = settings.prefix + "requests"
    make_topic(admin, name, 2)
    open_one = Producer({"bootstrap.servers": settings.kafka, "transactional.id": f"{name}-1", "log_level": 0})
    open_one.init_transactions(ADMIN_S)
    with KafkaCluster(settings) as cluster:
        consumer = cluster.consumer("requests", "classify")
        eventually(lambda: consumer.poll(10, 0.1) == [] and consumer.assignment() == [0, 1])
        producer = cluster.producer()
        producer.send([Outgoing("requests", None, b"before", (), 1)])
        consumer.commit({0: OffsetAndMetadata(0), 1: OffsetAndMetadata(1)})
        open_one.begin_transaction()
        open_one.produce(name, b"never committed", partition=1)
        open_one.flush(ADMIN_S)
        producer.send([Outgoing("requests", None, b"waits", (), 1)] * others)
        producer.close()
        now_ms = time.time_ns() // 1_000_000
        found = behind(admin, settings, "classify", "requests", cluster.ends)
        (hold,) = found.held
        assert found.records == 0, "what nobody can read counts as held up"
        assert hold[:3] == (1, 1, 1 + others)
        rows = lag_findings(settings, "classify", "requests", found, now_ms + 2 * WAIT_MS_MAX)
        assert rows[0].state == "fail"
        assert "holds up partition 1 of requests at 1" in rows[0].seen
        assert all(row.state != "fail" for row in lag_findings(settings, "classify", "requests", found, now_ms))
        open_one.abort_transaction(ADMIN_S)
        eventually(lambda: behind(admin, settings, "classify", "requests", cluster.ends).held == ())
        consumer.close()
