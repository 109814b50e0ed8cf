"""The examples of infra/examples, on a real broker, against the processors that they are for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.examples import ask as client
from infra.examples.connector import Connector, call_server
from infra.local import jar_broker
from infra.local.broker import LOCAL
from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.control import SetPolicy
from refrain.schemas.forwards import Completion, Forward, Status
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.classify.worker import run_classify
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.populate.worker import run_populate
from refrain.streams.settings import Classify, Settings, Upstream
from refrain.streams.upstream.simulated.server import SimulatedServer
from refrain.streams.upstream.worker import run_upstream
from tests.eventually import eventually
from tests.infra.documents.markdown import read_paper
from tests.integration.make_topic import make_topic
from tests.integration.processors import Running
from tests.integration.topics import PARTITIONS_MAX, create_table

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "infra" / "examples"
ANSWERS = ("classify", "lookup", "populate", "govern")
PROCESSORS: dict[str, Callable[..., None]] = {
    "classify": run_classify, "lookup": run_lookup, "populate": run_populate, "govern": run_govern,
    "upstream": run_upstream,
}  # fmt: skip
OPEN = Policy(categories={"uncategorised": CategoryPolicy()})
FOREVER_MS = 10**13
ADMIN_S = 15.0
PROGRAM_S = 120.0
"""A program may have to be compiled first."""


@pytest.fixture
def reply_topic(admin: AdminClient) -> Iterator[str]:
    """A topic outside the prefix, with two partitions."""
    name = f"shop-{uuid.uuid4().hex[:8]}.answers"
    make_topic(admin, name, 2)
    yield name
    admin.delete_topics([name])[name].result(ADMIN_S)


@pytest.fixture
def shop(settings: Settings, admin: AdminClient, reply_topic: str) -> Settings:
    """Settings with quick answers that may go to the reply topic; the topics are there."""
    create_table(admin, settings.prefix)
    quick = Upstream(connector="simulated", latency_median_ms=1)
    return settings.model_copy(update={"classify": Classify(reply_topics=(reply_topic,)), "upstream": quick})


@contextmanager
def service(settings: Settings, *names: str) -> Iterator[None]:
    """The processors, and a policy that all shards act by."""
    with ExitStack() as ends, KafkaCluster(settings) as cluster:
        for each in [Running(PROCESSORS[name], settings) for name in names]:
            ends.callback(each.end)
            each.wait_until_ready()
        cluster.producer().send([Outgoing("control", None, SetPolicy(who="me", policy=OPEN).encode())])
        eventually(lambda: {"classify", "populate"} <= acting(cluster) and len(acting(cluster)) == 2 + PARTITIONS_MAX)
        yield


def acting(cluster: KafkaCluster) -> set[str]:
    """The shards, by number, and the other processors that act by a policy."""
    said = [Acknowledgement.decode(record.value or b"") for record in cluster.scan("acknowledgements", 0)]
    return {each.worker if each.processor == "lookup" else each.processor for each in said}


@contextmanager
def connecting(settings: Settings, base_url: str) -> Iterator[None]:
    """The example's connector, in a thread."""
    stop = threading.Event()
    connector = Connector(settings.kafka, partial(call_server, base_url), settings.prefix)
    thread = threading.Thread(target=connector.run, args=(stop.is_set,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(ADMIN_S)
    assert not thread.is_alive()


def question(text: str) -> dict[str, Any]:
    return {"model": "gpt", "messages": [{"role": "user", "content": text}]}


def test_examples_import_nothing_of_refrain() -> None:
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]); assert not [name for name in sys.modules if 'refrain' in name]"
    )
    examples = sorted(EXAMPLES.glob("*.py"))
    assert examples
    for path in examples:
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)


def test_the_client_asks_and_is_answered_from_the_cache_the_second_time(shop: Settings) -> None:
    with service(shop, *ANSWERS, "upstream"):
        body = question("How do I reverse a list in Python?")
        first, second = (client.ask(shop.kafka, body, prefix=shop.prefix) for _ in range(2))
        command = [sys.executable, str(EXAMPLES / "ask.py"), "--servers", shop.kafka, "--prefix", shop.prefix]
        told = subprocess.run(
            [*command, "How do I reverse a list in Python?"], capture_output=True, text=True, timeout=60
        )
    assert (first["outcome"], second["outcome"]) == ("miss", "hit")
    text = first["body"]["choices"][0]["message"]["content"]
    assert second["body"]["choices"][0]["message"]["content"] == text
    assert told.stdout == f"{text}\n[hit: exact_text]\n", told.stderr


def said(command: list[str], shop: Settings, folder: Path = ROOT) -> list[str]:
    """The lines that a program prints which finds the service by the environment."""
    found = {"REFRAIN_KAFKA": shop.kafka, "REFRAIN_PREFIX": shop.prefix}
    done = subprocess.run(
        command, env={**os.environ, **found}, cwd=folder, capture_output=True, text=True, timeout=PROGRAM_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK is installed")
def test_the_client_in_java(shop: Settings) -> None:
    jars = LOCAL / "kafka" / "libs"
    if jar_broker.missing_tool(jars) is not None:
        pytest.skip("the jars need Java 17 and Maven")
    jar_broker.fetch(jars, say=lambda line: None)
    command = ["java", "-cp", f"{jars}/*", str(EXAMPLES / "Ask.java"), 'What is a "class" in Java?']
    with service(shop, *ANSWERS, "upstream"):
        first, second = said(command, shop), said(command, shop)
    assert 'to: What is a "class" in Java?' in first[0]
    assert first[1].startswith("[miss: ")
    assert second == [first[0], "[hit: exact_text]"]


@pytest.mark.clients
@pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")
def test_the_client_in_go(shop: Settings, tmp_path: Path) -> None:
    program = str(tmp_path / "ask")
    said(["go", "build", "-o", program, "."], shop, EXAMPLES / "go")
    command = [program, 'What is a "channel" in Go?']
    with service(shop, *ANSWERS, "upstream"):
        first, second = said(command, shop), said(command, shop)
    assert 'to: What is a "channel" in Go?' in first[0]
    assert first[1].startswith("[miss: ")
    assert second == [first[0], "[hit: exact_text]"]


def test_the_client_library_asks_one_many_and_a_stream(shop: Settings) -> None:
    command = [sys.executable, str(EXAMPLES / "library" / "ask_many.py"), "--servers", shop.kafka]
    with service(shop, *ANSWERS, "upstream"):
        one, *many, streamed = said([*command, "--prefix", shop.prefix], shop)
    assert one.startswith("miss: ")
    assert "to: How do I reverse a list in Python?" in one
    assert [line.partition(":")[0] for line in many][::2] == ["hit", "miss"]
    assert all(line.endswith(" ms") for line in many)
    assert "to: What does a generator do?" in streamed


def test_a_connector_of_ones_own_serves_what_the_model_says(shop: Settings) -> None:
    with SimulatedServer(shop.upstream) as server, service(shop, *ANSWERS), connecting(shop, server.base_url):
        good = client.ask(shop.kafka, question("How do I sort a list?"), prefix=shop.prefix)
        bad = client.ask(shop.kafka, question("What now? [simulate:fail]"), prefix=shop.prefix)
    assert good["outcome"] == "miss"
    assert server.calls[0].body["messages"][0]["content"] == "How do I sort a list?"
    assert (bad["outcome"], bad["error"]["code"]) == ("error", "upstream_failed")


def test_a_connector_of_ones_own_keeps_the_rules(settings: Settings, admin: AdminClient) -> None:
    create_table(admin, settings.prefix)
    late = Forward(forward_id="late", model="m", body={}, deadline_at_ms=1, route="r1")
    once = Forward(forward_id="once", model="m", body=question("?"), deadline_at_ms=FOREVER_MS, route="r2")
    with SimulatedServer(settings.upstream) as server, KafkaCluster(settings) as cluster:
        forwards = [Outgoing("forwards", each.forward_id.encode(), each.encode(), (), 0) for each in (late, once, once)]
        cluster.producer().send(forwards)
        with connecting(settings, server.base_url):
            eventually(lambda: position(admin, settings) == len(forwards))
        found = {each.forward_id: each for each in completed(cluster)}
        assert len(completed(cluster)) == len(found) == 2
    assert (found["late"].route, found["once"].route) == ("r1", "r2")
    assert found["late"].error is not None
    assert found["late"].error.code == "deadline_exceeded"
    assert found["once"].status is Status.OK
    assert len(server.calls) == 1


def position(admin: AdminClient, settings: Settings) -> int:
    """What the connector's group has kept for partition 0 of `forwards`, -1 when it has kept none."""
    group = ConsumerGroupTopicPartitions(
        f"{settings.prefix}upstream", [TopicPartition(f"{settings.prefix}forwards", 0)]
    )
    (asked,) = admin.list_consumer_group_offsets([group]).values()
    (place,) = asked.result(ADMIN_S).topic_partitions
    return max(int(place.offset), -1)


def completed(cluster: KafkaCluster) -> list[Completion]:
    places = range(cluster.partitions("completions"))
    return [Completion.decode(record.value or b"") for place in places for record in cluster.scan("completions", place)]


def test_the_template_hears_its_answers_on_its_own_partition(shop: Settings, reply_topic: str) -> None:
    (block,) = [each for each in read_paper(EXAMPLES / "reply_topic.md").blocks if each.info == ("python",)]
    written: dict[str, Any] = {}
    exec(compile(block.text, "reply_topic.md", "exec"), written)
    with service(shop, *ANSWERS, "upstream"):
        one, other = (written["Template"](shop.kafka, reply_topic, place, shop.prefix) for place in (0, 1))
        try:
            asked = [question(f"How do I count to {number}?") for number in range(5)]
            there, here = other.ask(asked[:1]), one.ask(asked)
        finally:
            one.close()
            other.close()
        with KafkaCluster(shop) as cluster:
            heard = [len(list(cluster.scan(f"/{reply_topic}", place))) for place in (0, 1)]
    assert [each["error"] for each in (*there, *here)] == [None] * 6
    assert heard == [5, 1]
    assert json.dumps(here[0]["body"]["choices"]) == json.dumps(there[0]["body"]["choices"])
