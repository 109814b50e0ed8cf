"""The connector on a real broker: a worker that dies is followed by one that calls only what was open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from refrain.schemas.forwards import Completion, Forward
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.settings import Settings
from refrain.streams.upstream.model import Answer
from refrain.streams.upstream.worker import Bounds, run_upstream
from tests.eventually import eventually
from tests.gate import Gate
from tests.integration.processors import Running, running
from tests.integration.topics import PARTITIONS_MAX, create_table

FOREVER_MS = 10**13
NAMES = [f"f{n}" for n in range(200)]


class Model:
    """Answers at once; with `held`, only once it is let go."""

    def __init__(self, held: frozenset[str] = frozenset()) -> None:
        self.held = held
        self.asked: list[str] = []
        self.let_go = Gate()

    async def answer(self, forward: Forward) -> Answer:
        self.asked.append(forward.forward_id)
        if forward.forward_id in self.held:
            await self.let_go.wait()
        return Answer(body={"to": forward.forward_id})

    async def close(self) -> None:
        pass


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    create_table(admin, settings.prefix)
    with KafkaCluster(settings) as cluster:
        cluster.producer().send([Outgoing("forwards", name.encode(), forward_of(name).encode()) for name in NAMES])
        yield cluster


def forward_of(name: str) -> Forward:
    return Forward(forward_id=name, model="m", body={}, deadline_at_ms=FOREVER_MS, route="r")


def completed(cluster: KafkaCluster) -> list[str]:
    return [
        Completion.decode(record.value or b"").forward_id
        for partition in range(PARTITIONS_MAX)
        for record in cluster.scan("completions", partition)
    ]


def written(cluster: KafkaCluster) -> int:
    return sum(end for _, end in cluster.ends("completions").values())


def test_every_forward_is_called_once(cluster: KafkaCluster, settings: Settings) -> None:
    model = Model()
    with running(run_upstream, settings, make_model=lambda: model):
        eventually(lambda: written(cluster) == len(NAMES))
    assert sorted(completed(cluster)) == sorted(model.asked) == sorted(NAMES)


def test_the_next_worker_calls_only_what_was_open(cluster: KafkaCluster, settings: Settings) -> None:
    first = Model(held=frozenset(NAMES[:5]))
    with running(run_upstream, settings, make_model=lambda: first, bounds=Bounds(drain_s=0.2)):
        eventually(lambda: written(cluster) == len(NAMES) - 5)
    second = Model()
    with running(run_upstream, settings, make_model=lambda: second):
        eventually(lambda: written(cluster) == len(NAMES))
    assert sorted(second.asked) == sorted(NAMES[:5])
    assert sorted(completed(cluster)) == sorted(NAMES)


def test_a_worker_that_joins_shares_the_work_and_repeats_none(cluster: KafkaCluster, settings: Settings) -> None:
    first, second = Model(), Model()
    with running(run_upstream, settings, make_model=lambda: first):
        eventually(lambda: written(cluster) == len(NAMES))
        joining = Running(run_upstream, settings, make_model=lambda: second)
        joining.wait_until_ready()
        producer = cluster.producer()

        def more() -> int:
            name = f"more{len(first.asked) + len(second.asked)}"
            one = Forward(forward_id=name, model="m", body={}, deadline_at_ms=FOREVER_MS, route="r")
            producer.send([Outgoing("forwards", name.encode(), one.encode())])
            return len(second.asked)

        eventually(more)
        joining.end()
    assert len(set(first.asked + second.asked)) == len(first.asked + second.asked)
