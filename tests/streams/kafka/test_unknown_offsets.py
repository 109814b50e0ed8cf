"""An offset that the client does not know is a failure everywhere: nothing is restored, judged or counted by it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError

from refrain.ops.cluster import lag, single_records
from refrain.ops.observe.stats import StatsReports
from refrain.streams.errors import Unanswered, WrongSetup
from refrain.streams.govern.decision_search import DecisionSearch, SoughtDecision
from refrain.streams.kafka import cluster as kafka_cluster
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.offsets import first_offset, known_offset
from refrain.streams.lookup.restore import restore, stale_reason
from refrain.streams.runtime.policy_follower import PolicyWatch
from refrain.streams.settings import Settings
from refrain.streams.store.interface import Checkpoint
from refrain.streams.store.memory import MemoryStore
from refrain.streams.upstream.completions import read_completed
from tests.streams.kafka.fake_client import INVALID, FakeConsumer, error

TIMED_OUT = error(KafkaError._TIMED_OUT)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    """The client behind every cluster of the test: it knows no offset."""
    fake = FakeConsumer(lambda partition: (INVALID, INVALID), partitions=2)
    monkeypatch.setattr(kafka_cluster, "ConfluentConsumer", lambda properties: fake)
    monkeypatch.setattr(kafka_cluster, "AdminClient", lambda properties: object())
    monkeypatch.setattr(single_records, "create_client", lambda make, properties: fake)
    return fake


@pytest.fixture
def cluster(client: FakeConsumer) -> KafkaCluster:
    return KafkaCluster(Settings())


@pytest.mark.parametrize("offset", [INVALID, -1, -2, None])
def test_only_0_and_more_are_offsets(offset: int | None) -> None:
    assert known_offset(0, "things[0]") == 0
    with pytest.raises(Unanswered, match=r"things\[0\]"):
        known_offset(offset, "things[0]")


def test_a_partition_whose_first_offset_is_not_told_begins_nowhere(client: FakeConsumer) -> None:
    assert first_offset(cast(Consumer, client), "things", 0, 1.0) is None
    client.watermarks = lambda partition: (3, 5)
    assert first_offset(cast(Consumer, client), "things", 0, 1.0) == 3


@pytest.mark.parametrize("watermarks", [(INVALID, INVALID), (0, INVALID), (INVALID, 5)])
def test_a_cluster_tells_no_offset_that_it_does_not_know(
    cluster: KafkaCluster, client: FakeConsumer, watermarks: tuple[int, int]
) -> None:
    client.watermarks = lambda partition: watermarks if partition == 1 else (0, 5)
    with pytest.raises(Unanswered):
        cluster.ends("documents")
    with pytest.raises(Unanswered):
        list(cluster.scan("documents", 1))


def test_a_leader_that_does_not_answer_is_waited_for_and_a_missing_topic_is_not(
    cluster: KafkaCluster, client: FakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(problem: Any) -> Any:
        def ask(partition: int) -> tuple[int, int]:
            raise problem

        return ask

    client.watermarks = raises(TIMED_OUT)
    with pytest.raises(Unanswered):
        cluster.ends("documents")
    for local in (KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC):
        client.watermarks = raises(error(local))
        with pytest.raises(Unanswered, match=r"refrain\.documents"):
            cluster.ends("documents")
        with pytest.raises(WrongSetup, match="refrain topics create"):
            cluster.end("documents", 2)
    monkeypatch.setattr(client, "list_topics", lambda *_: raises(error(KafkaError.UNKNOWN_TOPIC_OR_PART))(0))
    with pytest.raises(WrongSetup, match="refrain topics create"):
        cluster.end("documents", 0)


def test_a_store_is_kept_while_nobody_knows_where_its_topic_ends(cluster: KafkaCluster) -> None:
    store = MemoryStore()
    store.write({b"k": b"v"}, Checkpoint(95_667, 0))
    with pytest.raises(Unanswered):
        stale_reason(cluster, 0, store, 1)
    with pytest.raises(Unanswered):
        restore(cluster, 0, "journal", store, lambda: 1, lambda: False)
    assert store.get(b"k") == b"v"
    assert store.checkpoint().next_offset == 95_667


def test_nothing_is_missing_where_nobody_tells(cluster: KafkaCluster) -> None:
    for look in (
        lambda: PolicyWatch(cluster).latest(),
        lambda: DecisionSearch(cluster, SoughtDecision("0-1-t"), lambda: 0),
        lambda: read_completed(cluster, [0]),
        lambda: StatsReports(cluster).summary(None),
    ):
        with pytest.raises(Unanswered):
            look()


def test_no_lag_is_counted_from_it(cluster: KafkaCluster) -> None:
    nobody: Any = None
    with pytest.raises(Unanswered):
        lag.behind(nobody, Settings(), "lookup", "journal", cluster.ends)


def test_the_client_that_asks_is_closed_with_the_cluster(cluster: KafkaCluster, client: FakeConsumer) -> None:
    cluster.partitions("documents")
    cluster.close()
    cluster.close()
    assert client.closed
