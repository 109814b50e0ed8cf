"""The entrance on a real broker: policies arrive while it runs, and responses leave the prefix where allowed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient

from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.journal import Asked, Passed, decode_event
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.responses import Response
from refrain.streams.classify.reply_topic import partitions_of
from refrain.streams.classify.worker import run_classify
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Headers, Outgoing, Record
from refrain.streams.kafka.targets import Targets
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Classify, Settings
from tests.eventually import eventually
from tests.integration.make_topic import make_topic
from tests.integration.topics import create_table

WAIT_S = 30.0
POLICY = Policy(categories={"code": CategoryPolicy(), "uncategorised": CategoryPolicy()})


@pytest.fixture
def outside(settings: Settings, admin: AdminClient) -> str:
    """A topic of somebody else; its name begins with the test's prefix so that it is cleaned up."""
    name = settings.prefix + "team.replies"
    make_topic(admin, name, 2)
    return name


@pytest.fixture
def cluster(settings: Settings, admin: AdminClient) -> Iterator[KafkaCluster]:
    create_table(admin, settings.prefix)
    with KafkaCluster(settings) as cluster:
        yield cluster


@pytest.fixture
def running(settings: Settings, cluster: KafkaCluster, outside: str) -> Iterator[None]:
    allowed = settings.model_copy(update={"classify": Classify(reply_topics=(outside,))})
    ready, stop = threading.Event(), threading.Event()

    def work() -> None:
        run_classify(WorkerContext(allowed, cluster, Metrics(), stop=stop.is_set, ready=ready.set, now_ms=lambda: 0))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(WAIT_S)
        yield
    finally:
        stop.set()
        thread.join(WAIT_S)
    assert not thread.is_alive()


def ask(cluster: KafkaCluster, text: str, headers: Headers = ()) -> None:
    message = {"v": 1, "body": {"model": "m", "messages": [{"role": "user", "content": text}]}}
    cluster.producer().send([Outgoing("requests", None, json.dumps(message).encode(), headers)])


def await_record(cluster: KafkaCluster, topic: str, wanted: Callable[[Record], bool] = lambda _: True) -> Record:
    """The first such record of the topic, once it is there."""
    found: list[Record] = []

    def look() -> bool:
        partitions = range(cluster.partitions(topic))
        found.extend(record for number in partitions for record in cluster.scan(topic, number) if wanted(record))
        return bool(found)

    eventually(look, WAIT_S)
    return found[0]


def test_a_policy_that_comes_later_is_followed(cluster: KafkaCluster, running: None) -> None:
    ask(cluster, "before")
    assert isinstance(decode_event(await_record(cluster, "journal").value or b""), Passed)
    assert b"before" in (await_record(cluster, "forwards").value or b"")
    in_force = PolicyInForce(version=3, who="w", at_ms=0, policy=POLICY)
    cluster.producer().send([Outgoing("policies", POLICY_KEY, in_force.encode())])

    def is_asked(record: Record) -> bool:
        ask(cluster, "after")
        return isinstance(decode_event(record.value or b""), Asked)

    event = decode_event(await_record(cluster, "journal", is_asked).value or b"")
    assert isinstance(event, Asked)
    assert (event.category, event.seen.policy_version, event.question.data) == ("uncategorised", 3, "after")


def test_an_error_goes_to_the_allowed_topic_outside_the_prefix(
    cluster: KafkaCluster, outside: str, running: None
) -> None:
    headers = (("reply-to", outside.encode()), ("kafka_replyPartition", b"\x00\x00\x00\x01"))
    ask(cluster, " ", headers)
    answer = await_record(cluster, f"/{outside}")
    assert (answer.partition, answer.headers) == (1, headers)
    response = Response.decode(answer.value or b"")
    assert response.error is not None
    assert response.error.code == "empty_question"
    assert await_record(cluster, "dead-letters").value is None, "no policy says that the text may be kept"


def test_a_reply_topic_that_is_missing_or_impossible_has_no_partitions(cluster: KafkaCluster, outside: str) -> None:
    count = partitions_of(Targets(cluster, "refrain."))
    assert (count(f"/{outside}"), count(f"/{outside}-other"), count("/not a name!")) == (2, None, None)


def test_a_missing_topic_stops_the_worker_at_start(settings: Settings, admin: AdminClient) -> None:
    with pytest.raises(WrongSetup, match="refrain topics create"):
        run_classify(
            WorkerContext(
                settings, KafkaCluster(settings), Metrics(), stop=lambda: True, ready=lambda: None, now_ms=lambda: 0
            )
        )
