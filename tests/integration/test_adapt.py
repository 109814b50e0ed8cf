"""adapt on a real broker: samples become commands, and govern carries them to every shard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest
from confluent_kafka.admin import AdminClient

from refrain.schemas.control import ReportLoad, SetPolicy, decode_command
from refrain.schemas.journal import LoadChanged, decode_event
from refrain.schemas.load import LoadSample
from refrain.schemas.policy import CategoryPolicy, ModelPolicy, Policy
from refrain.streams.adapt.worker import run_adapt
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.settings import Adapt, Settings
from tests.eventually import eventually
from tests.integration.processors import Running, running
from tests.integration.topics import PARTITIONS_MAX, create_table

TARGETS = ModelPolicy(latency_target_ms=100, queue_target=10)
POLICY = Policy(categories={"chat": CategoryPolicy()}, models={"m": TARGETS})


@pytest.fixture
def quick(settings: Settings) -> Settings:
    return settings.model_copy(update={"adapt": Adapt(window_ms=60_000, interval_ms=100)})


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    create_table(admin, settings.prefix)
    with KafkaCluster(settings) as cluster:
        yield cluster


def sample() -> bytes:
    now_ms = time.time_ns() // 1_000_000
    return LoadSample(model="m", replica="a", latency_p95_ms=180, queue_depth=18, at_ms=now_ms).encode()


def test_an_overloaded_model_is_known_to_every_shard(cluster: KafkaCluster, quick: Settings) -> None:
    with running(run_govern, quick), running(run_adapt, quick) as adapt:
        cluster.producer().send([Outgoing("control", None, SetPolicy(who="me", policy=POLICY).encode())])
        cluster.producer().send([Outgoing("load", b"m", b"junk", (("h", b"1"),)), Outgoing("load", b"m", sample())])
        eventually(lambda: cluster.ends("control")[0][1] == 2)
        for shard in range(PARTITIONS_MAX):
            eventually(partial(length_is, 2, cluster, shard))
    command = decode_command(list(cluster.scan("control", 0))[1].value or b"")
    assert isinstance(command, ReportLoad)
    assert (command.who, command.model, command.load) == ("adapt", "m", 0.8)
    for shard in range(PARTITIONS_MAX):
        event = decode_event(list(cluster.scan("journal", shard))[1].value or b"")
        assert event == LoadChanged(version=1, model="m", load=0.8, valid_until_ms=command.valid_until_ms)
    (letter,) = cluster.scan("dead-letters", 0)
    assert letter.value == b"junk"
    assert ("h", b"1") in letter.headers
    assert adapt.metrics.registry.get_sample_value("refrain_model_load", {"model": "m"}) == 0.8


def length_is(count: int, cluster: KafkaCluster, shard: int) -> bool:
    return len(list(cluster.scan("journal", shard))) == count


def letters_sent(adapt: Running) -> float | None:
    labels = {"processor": "adapt", "topic": "dead-letters"}
    return adapt.metrics.registry.get_sample_value("refrain_records_sent_total", labels)


def test_a_restarted_worker_goes_on_where_it_ended(cluster: KafkaCluster, quick: Settings) -> None:
    for _ in range(2):
        with running(run_adapt, quick) as adapt:
            cluster.producer().send([Outgoing("load", b"m", b"junk")])
            eventually(partial(letters_sent, adapt))
    assert len(list(cluster.scan("dead-letters", 0))) == 2
