"""compare on a real broker: each observation is compared, also by the worker that comes after."""

from __future__ import annotations

import json
from functools import partial

from confluent_kafka.admin import AdminClient

from refrain.schemas.base import Sealed
from refrain.schemas.observations import Comparison, Observation
from refrain.streams.compare.worker import run_compare
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.ids import decision_id
from refrain.streams.settings import Settings
from tests.eventually import eventually
from tests.integration.processors import running
from tests.integration.topics import create_table

COUNT = 20


def observed(number: int) -> Outgoing:
    texts = ("the same words in both", f"the same words in both, but {number} more")
    cached, answered = (Sealed(data=json.dumps({"message": {"content": text}})) for text in texts)
    observation = Observation(
        decision_id=decision_id(0, number, "tag"),
        tenant="acme",
        category="code",
        model="m",
        entry_id="0-4-x",
        time_ms=1,
        equal=number % 2 == 0,
        cached=None if number % 2 == 0 else cached,
        answered=None if number % 2 == 0 else answered,
    )
    return Outgoing("observations", observation.decision_id.encode(), observation.encode())


def compared(cluster: KafkaCluster) -> dict[str, Comparison]:
    records = [
        record for place in range(cluster.partitions("comparisons")) for record in cluster.scan("comparisons", place)
    ]
    return {(record.key or b"").decode(): Comparison.decode(record.value or b"") for record in records}


def holds(cluster: KafkaCluster, count: int) -> bool:
    return len(compared(cluster)) == count


def test_every_observation_is_compared_also_across_workers(settings: Settings, admin: AdminClient) -> None:
    create_table(admin, settings.prefix)
    cluster = KafkaCluster(settings)
    producer = cluster.producer()
    for start in (0, COUNT):
        numbers = range(start, start + COUNT)
        with running(run_compare, settings):
            producer.send([Outgoing("observations", None, b"junk"), *map(observed, numbers)])
            eventually(partial(holds, cluster, start + COUNT))
    producer.close()
    found = compared(cluster)
    assert found.keys() == {decision_id(0, number, "tag") for number in range(2 * COUNT)}
    assert all(found[decision_id(0, n, "tag")].similarity == 1.0 for n in range(0, 2 * COUNT, 2))
    assert all(found[decision_id(0, n, "tag")].embedder == "free-1" for n in range(1, 2 * COUNT, 2))
    assert len(list(cluster.scan("dead-letters", 0))) == 2
