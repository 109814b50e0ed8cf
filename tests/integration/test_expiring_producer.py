"""A writer whose records lapse writes like any other, and drops what could not leave in time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from refrain.streams.errors import DeliveryExpired, SendFailed
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing, Producer
from refrain.streams.kafka.partitioner import partition_of
from refrain.streams.settings import Settings
from tests.integration.make_topic import make_topic

WITHIN_MS = 4_000


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    make_topic(admin, settings.prefix + "things", 3, max_message_bytes="100000")
    with KafkaCluster(settings) as cluster:
        yield cluster


@pytest.fixture
def producer(cluster: KafkaCluster) -> Producer:
    return cluster.producer(delivery_timeout_ms=WITHIN_MS)


def test_records_arrive_in_order_where_their_keys_or_partitions_say(cluster: KafkaCluster, producer: Producer) -> None:
    for first in (0, 50):
        producer.send([Outgoing("things", b"key", b"%d" % number, partition=0) for number in range(first, first + 50)])
    assert [record.value for record in cluster.scan("things", 0)] == [b"%d" % number for number in range(100)]
    keys = [f"tenant/category/{number}".encode() for number in range(40)]
    producer.send([Outgoing("things", key, b"keyed") for key in keys])
    found = {r.key: r.partition for p in range(3) for r in cluster.scan("things", p) if r.value == b"keyed"}
    assert found == {key: partition_of(key, 3) for key in keys}


def test_headers_and_missing_keys_and_values_survive(cluster: KafkaCluster, producer: Producer) -> None:
    headers = (("trace", b"\x00\xff"), ("none", None))
    sent = [Outgoing("things", b"k", b"v", headers, 1), Outgoing("things", None, b"", (), 1)]
    producer.send(sent)
    producer.send([Outgoing("things", b"k", None, (), 1), Outgoing("things", None, b"x", (), 1)])
    got = [(record.key, record.value, record.headers) for record in cluster.scan("things", 1)]
    assert got == [(b"k", b"v", headers), (None, b"", ()), (b"k", None, ()), (None, b"x", ())]
    producer.send([])


@pytest.mark.parametrize(
    "wrong",
    [
        Outgoing("no-such-topic", b"k", b"v"),
        Outgoing("things", b"k", b"v", (), 7),
        Outgoing("things", b"k", b"x" * 150_000),
        Outgoing("things", b"k", b"x" * 3_000_000),
    ],
)
def test_a_record_that_cannot_be_taken_is_refused_and_the_writer_goes_on(
    cluster: KafkaCluster, producer: Producer, wrong: Outgoing
) -> None:
    with pytest.raises(SendFailed, match=wrong.topic) as refused:
        producer.send([wrong])
    assert not isinstance(refused.value, DeliveryExpired)
    producer.send([Outgoing("things", b"k", b"good", (), 2)])
    assert b"good" in [record.value for record in cluster.scan("things", 2)]


def test_what_cannot_leave_in_time_is_dropped_as_a_whole(settings: Settings) -> None:
    nowhere = KafkaCluster(settings.model_copy(update={"kafka": "127.0.0.1:1"}))
    producer = nowhere.producer(delivery_timeout_ms=300)
    headed = Outgoing("other", b"k", b"v", (("a", b"b"),))
    for records in ([Outgoing("things", b"k", b"v")] * 100, [headed] * 3):
        with pytest.raises(DeliveryExpired, match="not written in time"):
            producer.send(records)
    producer.close()
