"""What an outsider writes to a real broker, past every client: names of headers, codecs, and records of nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from refrain.schemas.control import POLICY_KEY, PolicyInForce, ReportLoad, decode_command
from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_TOPIC
from refrain.schemas.load import LoadSample
from refrain.schemas.policy import CategoryPolicy, ModelPolicy, Policy
from refrain.streams.adapt.worker import run_adapt
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.batches import batches_in
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.settings import Adapt, Settings
from tests.eventually import eventually
from tests.integration.processors import running
from tests.integration.topics import create_table
from tests.streams.kafka.odd_batches import TAKEN
from tests.streams.kafka.raw_records import GZIP, LZ4, Raw, batch_of, produce

TARGETS = ModelPolicy(latency_target_ms=100, queue_target=10)
POLICY = Policy(categories={"chat": CategoryPolicy()}, models={"m": TARGETS})
ODD = [
    Raw(b"k", b"junk", [(b"\xff\xfe", b"x")]),
    Raw(None, None),
    Raw(None, None, [(b"\xc3", None)]),
    Raw(None, b"x" * 3_000_000),
    Raw(b"k", b"junk", [(b"", b"")] * 65_000),
]


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    create_table(admin, settings.prefix)
    with KafkaCluster(settings) as cluster:
        yield cluster


def letters(cluster: KafkaCluster, topic: str) -> list[int]:
    found = [dict(letter.headers) for letter in cluster.scan("dead-letters", 0)]
    return sorted(int(each[HEADER_OFFSET] or b"") for each in found if each[HEADER_TOPIC] == topic.encode())


def test_a_consumer_and_a_scan_hand_over_all_that_is_there(cluster: KafkaCluster, settings: Settings) -> None:
    produce(settings.kafka, cluster.name("control"), batch_of(ODD, GZIP))
    scanned = list(cluster.scan("control", 0))
    consumer = cluster.consumer("control", "odd")
    polled: list[Record] = []

    def all_polled() -> bool:
        polled.extend(consumer.poll(10, 0.1))
        return len(polled) == len(ODD)

    eventually(all_polled)
    consumer.close()
    for found in (scanned, polled):
        assert [(each.key, each.value) for each in found] == [(each.key, each.value) for each in ODD]
        assert [each.headers_unreadable for each in found] == [True, False, True, False, False]
        assert len(found[-1].headers) == 65_000


@pytest.mark.parametrize("codec", [GZIP, LZ4])
def test_adapt_sets_each_aside_and_reports_what_comes_behind_them(
    cluster: KafkaCluster, settings: Settings, codec: int
) -> None:
    in_force = PolicyInForce(version=0, who="w", at_ms=0, policy=POLICY)
    cluster.producer().send([Outgoing("policies", POLICY_KEY, in_force.encode())])
    quick = settings.model_copy(update={"adapt": Adapt(window_ms=60_000, interval_ms=100)})
    with running(run_adapt, quick):
        now_ms = time.time_ns() // 1_000_000
        good = LoadSample(model="m", replica="a", latency_p95_ms=180, queue_depth=18, at_ms=now_ms)
        produce(settings.kafka, cluster.name("load"), batch_of([*ODD, Raw(b"m", good.encode())], codec))
        eventually(lambda: cluster.ends("control")[0][1] == 1)
        eventually(lambda: letters(cluster, "load") == list(range(len(ODD))))
    assert isinstance(decode_command(next(iter(cluster.scan("control", 0))).value or b""), ReportLoad)


def odd_batches(address: str, name: str) -> list[int]:
    """Write each batch that no client can read, and the last offsets of each."""
    return [produce(address, name, data) + next(batches_in(data)).last for data in TAKEN.values()]


def test_adapt_sets_batches_aside_that_cannot_be_read_and_reports_what_comes_behind_them(
    cluster: KafkaCluster, settings: Settings
) -> None:
    in_force = PolicyInForce(version=0, who="w", at_ms=0, policy=POLICY)
    cluster.producer().send([Outgoing("policies", POLICY_KEY, in_force.encode())])
    quick = settings.model_copy(update={"adapt": Adapt(window_ms=60_000, interval_ms=100)})
    with running(run_adapt, quick):
        # It reads from the end on, which it asks for when it is given its partition.
        junk = batch_of([Raw(b"k", b"junk")])
        eventually(lambda: produce(settings.kafka, cluster.name("load"), junk) >= 0 and letters(cluster, "load") != [])
        odd = odd_batches(settings.kafka, cluster.name("load"))
        now_ms = time.time_ns() // 1_000_000
        good = LoadSample(model="m", replica="a", latency_p95_ms=180, queue_depth=18, at_ms=now_ms)
        produce(settings.kafka, cluster.name("load"), batch_of([Raw(b"m", good.encode())]))
        eventually(lambda: cluster.ends("control")[0][1] == 1)
        eventually(lambda: [each for each in letters(cluster, "load") if each >= odd[0]] == odd)


def test_batches_that_cannot_be_read_cost_themselves_alone(cluster: KafkaCluster, settings: Settings) -> None:
    command = ReportLoad(who="w", model="nobody", load=0.5, valid_until_ms=1)
    name = cluster.name("control")
    with running(run_govern, settings):
        odd = odd_batches(settings.kafka, name)
        last = produce(settings.kafka, name, batch_of([Raw(None, command.encode())]))
        eventually(lambda: [each for each in letters(cluster, "control") if each in {*odd, last}] == [*odd, last])
    assert list(cluster.scan("control", 0))[-1].value == command.encode(), "a scan passes over them too"


def test_govern_sets_each_aside_once_and_takes_what_comes_behind_them(
    cluster: KafkaCluster, settings: Settings
) -> None:
    command = ReportLoad(who="w", model="nobody", load=0.5, valid_until_ms=1)
    with running(run_govern, settings):
        produce(settings.kafka, cluster.name("control"), batch_of([*ODD, Raw(None, command.encode())], GZIP))
        eventually(lambda: letters(cluster, "control") == list(range(len(ODD) + 1)))
