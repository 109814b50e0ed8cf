"""On a real broker: every worker of classify and populate says by which policy it acts, also one that comes later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient

from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.base import Reply
from refrain.schemas.control import SetPolicy
from refrain.schemas.forwards import Completion, Status
from refrain.schemas.journal import Answered, AnswerWithheld, Asked, Passed, decode_event
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.responses import DecisionSummary, Outcome, Response
from refrain.streams.classify.worker import run_classify
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.key_file import route_signer
from refrain.streams.messaging.routes import ShardRoute
from refrain.streams.populate.worker import run_populate
from refrain.streams.settings import Settings
from tests.eventually import eventually
from tests.integration.processors import Running, running_all
from tests.integration.topics import create_table
from tests.streams.signed import signed_route

OPEN = Policy(categories={"medical": CategoryPolicy()})
SHUT = Policy(categories={"medical": CategoryPolicy(cache=Cacheable.NEVER)})
SECRET = "the patient has a cold"
PROCESSORS: dict[str, Callable[..., None]] = {"classify": run_classify, "populate": run_populate}


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    create_table(admin, settings.prefix)
    with KafkaCluster(settings) as cluster:
        yield cluster


def put(cluster: KafkaCluster, topic: str, value: bytes) -> None:
    producer = cluster.producer()
    producer.send([Outgoing(topic, b"k", value)])
    producer.close()


def apply(cluster: KafkaCluster, policy: Policy) -> None:
    put(cluster, "control", SetPolicy(who="me", policy=policy).encode())


def acknowledged(cluster: KafkaCluster, processor: str, version: int) -> set[str]:
    """The workers that act by this version or a later one."""
    said = [Acknowledgement.decode(record.value or b"") for record in cluster.scan("acknowledgements", 0)]
    return {each.worker for each in said if each.processor == processor and each.version >= version}


def members(admin: AdminClient, settings: Settings, processor: str) -> set[str]:
    """The members of the processor's group as the broker knows them."""
    group = settings.prefix + processor
    described = admin.describe_consumer_groups([group])[group].result()
    return {member.member_id for member in described.members}


@pytest.mark.parametrize("name", PROCESSORS)
def test_every_member_acknowledges_a_policy_also_one_that_comes_later(
    cluster: KafkaCluster, settings: Settings, admin: AdminClient, name: str
) -> None:
    with running_all((run_govern, PROCESSORS[name]), settings):
        apply(cluster, OPEN)
        eventually(lambda: acknowledged(cluster, name, 0))
        assert acknowledged(cluster, name, 0) == members(admin, settings, name)
        later = Running(PROCESSORS[name], settings)
        eventually(lambda: len(acknowledged(cluster, name, 0)) == 2)
        eventually(lambda: acknowledged(cluster, name, 0) == members(admin, settings, name))
        apply(cluster, SHUT)
        eventually(lambda: acknowledged(cluster, name, 1) == members(admin, settings, name))
        later.end()


def test_a_category_that_becomes_never_reaches_the_journal_no_more(cluster: KafkaCluster, settings: Settings) -> None:
    def ask() -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": SECRET}]}
        put(cluster, "requests", json.dumps({"v": 1, "category": "medical", "body": body}).encode())

    def answer(forward_id: str) -> None:
        route = ShardRoute(
            forward_id=forward_id,
            incarnation=cluster.topic_id("journal"),
            partition=1,
            category="medical",
            tenant="default",
            reply=Reply(topic="responses"),
            decision=DecisionSummary(id=forward_id, reason="below_threshold"),
        )
        signed = signed_route(route, route_signer(settings))
        completion = Completion(forward_id=forward_id, route=signed, status=Status.OK, body={"text": SECRET})
        put(cluster, "completions", completion.encode())

    def journal() -> list[object]:
        records = [
            record for shard in range(cluster.partitions("journal")) for record in cluster.scan("journal", shard)
        ]
        return [type(decode_event(record.value or b"")) for record in records]

    def ends() -> dict[int, int]:
        return {partition: end for partition, (_, end) in cluster.ends("journal").items()}

    with running_all((run_govern, run_classify, run_populate), settings):
        apply(cluster, OPEN)
        eventually(lambda: acknowledged(cluster, "classify", 0) and acknowledged(cluster, "populate", 0))
        ask()
        answer("f1")
        eventually(lambda: Asked in journal() and Answered in journal())
        apply(cluster, SHUT)
        eventually(lambda: acknowledged(cluster, "classify", 1) and acknowledged(cluster, "populate", 1))
        marks = ends()
        ask()
        answer("f2")
        eventually(lambda: Passed in journal() and AnswerWithheld in journal())
    for shard, mark in marks.items():
        assert all(SECRET.encode() not in (record.value or b"") for record in cluster.scan("journal", shard, mark))
    (told,) = [
        Response.decode(record.value or b"")
        for partition in range(cluster.partitions("responses"))
        for record in cluster.scan("responses", partition)
    ]
    assert (told.outcome, told.body) == (Outcome.MISS, {"text": SECRET})
