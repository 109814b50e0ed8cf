"""verify on a real broker: each doubt gets its opinion on the shard that asks, also by the worker that comes after."""

from __future__ import annotations

import time
from functools import partial

from confluent_kafka.admin import AdminClient

from refrain.schemas.base import Sealed
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.journal import Verified, decode_event
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.ids import decision_id
from refrain.streams.settings import Settings, Verify
from refrain.streams.verify.worker import run_verify
from tests.eventually import eventually
from tests.integration.processors import running
from tests.integration.topics import PARTITIONS_MAX, create_table

COUNT = 20
MINUTE_MS = 60_000


def doubt(number: int, incarnation: str) -> Outgoing:
    raised = DoubtRaised(
        id=decision_id(0, number, "tag"),
        partition=number % PARTITIONS_MAX,
        incarnation=incarnation,
        category="legal",
        entry=number,
        question=Sealed(data="How do I reset my password?"),
        cached=Sealed(data="How can I reset the password?" if number % 2 == 0 else "Is it raining?"),
        deadline_at_ms=time.time_ns() // 1_000_000 + MINUTE_MS,
    )
    return Outgoing("doubts", raised.id.encode(), raised.encode())


def opinions(cluster: KafkaCluster) -> dict[tuple[int, str], Verified]:
    events = [
        (place, decode_event(record.value or b""))
        for place in range(cluster.partitions("journal"))
        for record in cluster.scan("journal", place)
    ]
    return {(place, event.id): event for place, event in events if isinstance(event, Verified)}


def holds(cluster: KafkaCluster, count: int) -> bool:
    return len(opinions(cluster)) == count


def test_every_doubt_gets_an_opinion_also_across_workers(settings: Settings, admin: AdminClient) -> None:
    create_table(admin, settings.prefix)
    cluster = KafkaCluster(settings)
    journal = cluster.topic_id("journal")
    worded = settings.model_copy(update={"verify": Verify(backend="words")})
    producer = cluster.producer()
    for start in (0, COUNT):
        with running(run_verify, worded):
            doubts = [doubt(number, journal) for number in range(start, start + COUNT)]
            producer.send([Outgoing("doubts", None, b"junk"), doubt(99, "another journal"), *doubts])
            eventually(partial(holds, cluster, start + COUNT))
    producer.close()
    found = opinions(cluster)
    assert found.keys() == {(number % PARTITIONS_MAX, decision_id(0, number, "tag")) for number in range(2 * COUNT)}
    assert {event.entry: event.score for event in found.values()} == {
        number: 1.0 if number % 2 == 0 else 0.0 for number in range(2 * COUNT)
    }
    assert len(list(cluster.scan("dead-letters", 0))) == 4
