"""What only a real broker can show: open transactions, records that are gone, members that come."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from refrain.streams.errors import OffsetLost, Rebalanced, SendFailed, WrongSetup
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.config import connection
from refrain.streams.kafka.consumer import KafkaConsumer
from refrain.streams.kafka.interface import Consumer, OffsetAndMetadata, Outgoing
from refrain.streams.kafka.outages import Outages
from refrain.streams.settings import Settings
from tests.integration.make_topic import ADMIN_S, make_topic
from tests.streams.kafka.cluster_contract import Remembering, join, poll_until, records_of, values

TOPIC = "things"


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    make_topic(admin, settings.prefix + TOPIC, 4, max_message_bytes="100000")
    with KafkaCluster(settings) as cluster:
        yield cluster


def test_a_scan_ends_where_an_aborted_transaction_is_the_last_thing(cluster: KafkaCluster) -> None:
    cluster.producer().send(records_of(TOPIC, 2))
    with pytest.raises(SendFailed):
        cluster.transactional("one").transact(
            [*records_of(TOPIC, 1, first=7), Outgoing(TOPIC, b"k", b"x" * 150_000, (), 1)], None, {}
        )
    assert values(list(cluster.scan(TOPIC, 0))) == [b"0", b"1"]


def test_a_scan_waits_for_a_transaction_that_was_open_when_it_began(cluster: KafkaCluster, settings: Settings) -> None:
    cluster.producer().send(records_of(TOPIC, 1))
    producer = Producer({**connection(settings), "transactional.id": settings.prefix + "open"})
    producer.init_transactions(ADMIN_S)
    producer.begin_transaction()
    producer.produce(settings.prefix + TOPIC, b"late", partition=0)
    assert producer.flush(ADMIN_S) == 0
    got: list[bytes | None] = []
    first_read = threading.Event()

    def scan() -> None:
        for record in cluster.scan(TOPIC, 0):
            got.append(record.value)
            first_read.set()

    thread = threading.Thread(target=scan)
    thread.start()
    assert first_read.wait(ADMIN_S)
    assert got == [b"0"]
    producer.commit_transaction(ADMIN_S)
    thread.join(ADMIN_S)
    assert got == [b"0", b"late"]


def test_going_on_from_records_that_are_gone_is_an_error(
    cluster: KafkaCluster, settings: Settings, admin: AdminClient
) -> None:
    cluster.producer().send(records_of(TOPIC, 10))
    place = TopicPartition(settings.prefix + TOPIC, 0, 5)
    for future in admin.delete_records([place]).values():
        future.result(ADMIN_S)
    assert cluster.ends(TOPIC)[0] == (5, 10)
    consumer = cluster.consumer(TOPIC, "group", from_start=False)
    join(consumer)
    consumer.seek(0, 2)
    consumer.resume([0])
    with pytest.raises(OffsetLost):
        poll_until(consumer, 1)
    consumer.close()


def test_a_listener_may_seek_while_it_is_told_of_its_partitions(cluster: KafkaCluster) -> None:
    cluster.producer().send(records_of(TOPIC, 6))

    class Seeking(Remembering):
        consumer: Consumer

        def assigned(self, partitions: Sequence[int]) -> None:
            super().assigned(partitions)
            self.consumer.seek(0, 4)
            self.consumer.resume([0])

    listener = Seeking()
    listener.consumer = cluster.consumer(TOPIC, "group", listener, from_start=False)
    assert values(poll_until(listener.consumer, 2)) == [b"4", b"5"]
    listener.consumer.close()


def test_two_members_share_the_partitions_and_one_that_leaves_gives_its_own_back(cluster: KafkaCluster) -> None:
    first = cluster.consumer(TOPIC, "group")
    assert join(first) == [0, 1, 2, 3]
    second = cluster.consumer(TOPIC, "group")
    shared(first, second)
    second.close()
    for _ in range(300):
        first.poll(1, 0.05)
        if len(first.assignment()) == 4:
            break
    assert first.assignment() == [0, 1, 2, 3]
    first.close()


def test_a_transaction_that_meets_a_rebalance_succeeds_when_it_is_called_again(cluster: KafkaCluster) -> None:
    first = cluster.consumer(TOPIC, "group")
    join(first)
    producer = cluster.transactional("one")
    done = 0
    second = cluster.consumer(TOPIC, "group")
    for _ in range(300):
        try:
            producer.transact(
                records_of(TOPIC, 1, partition=3, first=done),
                first.group_metadata(),
                {first.assignment()[0]: OffsetAndMetadata(0)},
            )
            done += 1
        except Rebalanced:
            pass
        first.poll(100, 0.01)
        second.poll(100, 0.01)
        if done >= 10 and len(first.assignment()) == len(second.assignment()) == 2:
            break
    assert len(first.assignment()) == 2
    assert values(list(cluster.scan(TOPIC, 3))) == [str(number).encode() for number in range(done)]
    second.close()
    first.close()


def test_a_transaction_of_a_reader_that_left_its_group_is_kept_for_later(
    cluster: KafkaCluster, settings: Settings
) -> None:
    consumer = KafkaConsumer(connection(settings), settings, TOPIC, "group", None, True, Outages())
    join(consumer)
    consumer.consumer.unsubscribe()
    for _ in range(300):
        consumer.poll(1, 0.05)
        if not consumer.assignment():
            break
    with pytest.raises(Rebalanced, match="left the group"):
        cluster.transactional("one").transact(
            records_of(TOPIC, 1), consumer.group_metadata(), {0: OffsetAndMetadata(7)}
        )
    assert list(cluster.scan(TOPIC, 0)) == []
    assert consumer.committed([0]) == {}
    consumer.close()


def test_a_static_member_that_comes_back_finds_its_partitions_and_the_others_hear_nothing(
    cluster: KafkaCluster,
) -> None:
    heard = Remembering()
    first = cluster.consumer(TOPIC, "group", heard, instance="a")
    second = cluster.consumer(TOPIC, "group", instance="b")
    shared(first, second)
    before, told = second.assignment(), list(heard.heard)
    second.close()
    again = cluster.consumer(TOPIC, "group", instance="b")
    for _ in range(300):
        first.poll(1, 0.05)
        again.poll(1, 0.05)
        if again.assignment():
            break
    assert again.assignment() == before
    assert heard.heard == told
    cluster.producer().send(records_of(TOPIC, 3, partition=before[0]))
    assert values(poll_until(again, 3)) == [b"0", b"1", b"2"]
    again.commit({before[0]: OffsetAndMetadata(3)})
    for each in (first, again):
        each.close()


def test_of_two_static_members_of_one_name_the_older_is_told(cluster: KafkaCluster) -> None:
    first = cluster.consumer(TOPIC, "group", instance="a")
    assert join(first) == [0, 1, 2, 3]
    second = cluster.consumer(TOPIC, "group", instance="a")
    assert join(second) == [0, 1, 2, 3]
    with pytest.raises(WrongSetup, match="as the static member a: give each a state_dir"):
        poll_until(first, 1)
    for each in (first, second):
        each.close()


def shared(first: Consumer, second: Consumer) -> None:
    """Poll both until they share the partitions."""
    for _ in range(300):
        first.poll(1, 0.05)
        second.poll(1, 0.05)
        if len(first.assignment()) == len(second.assignment()) == 2:
            break
    assert sorted(first.assignment() + second.assignment()) == [0, 1, 2, 3]
