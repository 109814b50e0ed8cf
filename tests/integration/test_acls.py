"""On a broker that denies all but the ACLs of `refrain topics acls`, everything works, and nobody can do more."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from infra.demo.script import POLICY, read_demo
from infra.local.broker import LOCAL
from infra.local.jar_broker import BrokerFailed
from refrain.ops.ask.client import Client
from refrain.ops.ask.questions import Defaults, request_of
from refrain.ops.cli import main
from refrain.ops.run.processors import NAMES, processor
from refrain.ops.topics.acls import default_name
from refrain.schemas.decisions import Reason
from refrain.schemas.journal import LoadChanged, decode_event
from refrain.schemas.load import LoadSample
from refrain.schemas.observations import Comparison
from refrain.schemas.requests import CacheMode, Request
from refrain.schemas.responses import Response
from refrain.schemas.topics import AUDITORS, BY_NAME, CLIENTS, CONNECTORS, OPERATORS, ROLES, reads, writes
from refrain.streams.errors import Forbidden
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.settings import Adapt, Embedding, Settings, Upstream, Verify
from tests.integration.processors import WAIT_S, Running, eventually
from tests.integration.walled_broker import ROOT, WalledBroker, walled_broker

SHARDS = 2
STRICT = {"threshold": 0.6, "guards": [], "verify": 0.9}
REVERSE = "How do I reverse a list in Python?"
REWORDED = "How can I reverse the list in Python?"
ADMIN_S = 15.0
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "Create": AclOperation.CREATE,
}


class Told(NamedTuple):
    """What a command ended with and printed."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        """Its lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


class World:
    """The broker, and whoever works on it, each as the user of its role."""

    def __init__(self, broker: WalledBroker, state_dir: Path) -> None:
        self.broker = broker
        self._settings = Settings(
            kafka=broker.address,
            state_dir=state_dir,
            session_timeout_ms=6_000,
            embedding=Embedding(backend="free"),
            adapt=Adapt(window_ms=60_000, interval_ms=100),
            upstream=Upstream(connector="simulated", latency_median_ms=5.0, load_interval_ms=100),
            verify=Verify(backend="words"),
        )
        self.root = KafkaCluster(broker.settings_of(ROOT, self._settings))

    def settings_of(self, role: str) -> Settings:
        return self.broker.settings_of(default_name(role, self._settings), self._settings)

    def log_of(self, role: str) -> KafkaCluster:
        return KafkaCluster(self.settings_of(role))

    def refrain(self, *arguments: str, role: str = OPERATORS) -> Told:
        """Run a command as the user of a role."""
        settings = self.settings_of(role)
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("REFRAIN_")]:
                patch.delenv(name)
            connection = {key: value.get_secret_value() for key, value in settings.connection.items()}
            patch.setenv("REFRAIN_KAFKA", settings.kafka)
            patch.setenv("REFRAIN_CONNECTION", json.dumps(connection))
            patch.setenv("REFRAIN_STATE_DIR", str(settings.state_dir))
            patch.setenv("REFRAIN_EMBEDDING__BACKEND", "free")
            with redirect_stdout(out), redirect_stderr(err):
                code = main(arguments)
        return Told(code, out.getvalue(), err.getvalue())

    def done(self, *arguments: str, role: str = OPERATORS) -> Told:
        """Run a command that must succeed."""
        told = self.refrain(*arguments, role=role)
        assert told.code == 0, (arguments, told)
        return told


def applied(world: World) -> None:
    """Give every role the ACLs that the command prints, and wait until the broker knows them."""
    bindings = [
        AclBinding(
            KINDS[row["resource"]],
            row["name"],
            ResourcePatternType[row["pattern"].upper()],
            row["principal"],
            "*",
            OPERATIONS[operation],
            AclPermissionType.ALLOW,
        )
        for row in world.done("topics", "acls", "--json").rows
        for operation in row["operations"]
    ]
    admin = AdminClient({"bootstrap.servers": world.broker.address, **world.broker.connection(ROOT)})
    for future in admin.create_acls(bindings, request_timeout=ADMIN_S).values():
        future.result(ADMIN_S)


@pytest.fixture(scope="module")
def broker() -> Iterator[WalledBroker]:
    home = LOCAL / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    try:
        with walled_broker(home, [default_name(role, Settings()) for role in ROLES]) as walled:
            yield walled
    except BrokerFailed as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))


@pytest.fixture(scope="module")
def world(broker: WalledBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Topics made and a policy applied by the operators' user, and every processor at work as its own."""
    folder = tmp_path_factory.mktemp("walled")
    world = World(broker, folder / "state")
    applied(world)
    eventually(lambda: world.refrain("topics", "create", "--partitions-journal", str(SHARDS)).code == 0)
    policy = yaml.safe_load(POLICY.read_text())
    policy["categories"]["strict"] = STRICT
    policy["limits"] = {"verify_timeout_ms": 5_000}
    (folder / "p.yaml").write_text(yaml.safe_dump(policy))
    with ExitStack() as stack:
        started = [Running(processor(name), world.settings_of(name)) for name in NAMES]
        for one in started:
            stack.callback(one.end)
        for one in started:
            one.wait_until_ready()
        world.done("policies", "apply", str(folder / "p.yaml"), "--yes", "--who", "ana")
        yield world


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[Client]:
    with Client(world.settings_of(CLIENTS)) as client:
        yield client


def ask(client: Client, question: str, category: str | None = "strict", mode: CacheMode = CacheMode.USE) -> Response:
    """The response to one question."""
    request: Request = request_of(question, Defaults("demo", category, cache=mode))
    reply = client.ask([request], timeout_s=30)[0]
    assert reply.response is not None, reply.failure
    return reply.response


def test_questions_of_the_demo_are_answered(client: Client) -> None:
    demo = read_demo()
    again = [one for one in demo.questions if one.same_as == one.question]
    asked = {one.question: one.category for one in demo.questions if one.wave == 1}
    bypassed = [one for one in demo.questions if one.wave == 1 and one.expect == "bypass" and one.category]
    assert len(again) > 2
    assert bypassed
    for one in again:
        first = ask(client, one.question, asked[one.question])
        assert first.outcome == "miss", one
        second = ask(client, one.question, one.category)
        assert (second.outcome, second.body) == ("hit", second.body), one
    for one in bypassed:
        assert ask(client, one.question, one.category).outcome == "bypass", one


def test_a_doubt_is_settled_by_a_second_opinion(client: Client) -> None:
    assert ask(client, REVERSE).outcome == "miss"
    found = ask(client, REWORDED)
    assert found.decision is not None
    assert (found.outcome, found.decision.reason) == ("hit", Reason.SIMILAR_TEXT)


def test_an_observed_request_is_compared_and_an_auditor_sees_how(world: World, client: Client) -> None:
    question = "How do I observe a request?"
    ask(client, question)
    assert ask(client, question, mode=CacheMode.OBSERVE).outcome == "miss"
    seen = world.done("watch", "comparisons", "--from-start", "--count", "1", "--json", role=AUDITORS)
    assert Comparison.decode(seen.out.encode()).category == "strict"
    decided = world.done("watch", "decisions", "--from-start", "--count", "1", "--json", role=AUDITORS)
    assert decided.rows[0]["tenant"] == "default"


def test_load_that_a_connector_reports_reaches_every_shard(world: World) -> None:
    now_ms = time.time_ns() // 1_000_000
    sample = LoadSample(model="default", replica="mine", latency_p95_ms=9_000, queue_depth=64, at_ms=now_ms)
    world.log_of(CONNECTORS).producer().send([Outgoing("load", b"default", sample.encode())])

    def changed(shard: int) -> bool:
        events = [decode_event(record.value or b"") for record in world.root.scan("journal", shard)]
        return any(isinstance(event, LoadChanged) and event.model == "default" for event in events)

    for shard in range(SHARDS):
        eventually(partial(changed, shard))


def test_what_cannot_be_read_is_a_dead_letter_of_every_processor(world: World) -> None:
    producer = world.root.producer()
    topics = ("requests", "completions", "forwards", "control", "load", "observations", "doubts")
    producer.send([Outgoing(topic, b"k", b"junk") for topic in (*topics, "journal")])

    def buried() -> set[bytes | None]:
        letters = world.root.scan("dead-letters", 0)
        return {dict(letter.headers)["refrain.dead.processor"] for letter in letters}

    eventually(lambda: buried() == {name.encode() for name in NAMES})


def test_an_operator_judges_and_withdraws_an_answer(world: World, client: Client) -> None:
    question = "How do I judge an answer?"
    ask(client, question)
    hit = ask(client, question)
    assert hit.outcome == "hit"
    assert hit.decision is not None
    (judged,) = world.done("judge", hit.decision.id, "--wrong", "--why", "it fails", "--json").rows
    assert hit.decision.id in [each["id"] for each in judged["served"]]
    assert ask(client, question).outcome == "miss"
    other = "Which answer is withdrawn?"
    ask(client, other)
    assert ask(client, other).outcome == "hit"
    assert world.done("invalidate", "--category", "strict", "--yes", "--json").rows[0]["version"] is not None
    assert ask(client, other).outcome == "miss"


def test_an_operator_switches_the_cache_off_and_on(world: World, client: Client) -> None:
    world.done("off", "--category", "strict")
    assert ask(client, "Is it off?").outcome == "bypass"
    world.done("on")
    assert ask(client, "Is it off?").outcome == "miss"


def test_an_operator_changes_the_policy_and_goes_back(world: World, tmp_path: Path) -> None:
    shown = world.done("policies", "show", "--yaml").out
    changed = tmp_path / "changed.yaml"
    changed.write_text(shown.replace("threshold: 0.6", "threshold: 0.65"))
    assert world.refrain("policies", "diff", str(changed)).code == 1
    world.done("policies", "apply", str(changed), "--yes")
    world.done("policies", "revert", "--yes")
    assert len(world.done("policies", "history", "--json").rows) >= 3
    assert world.done("policies", "show", "--yaml").out == shown


def test_an_operator_looks_at_everything(world: World, client: Client) -> None:
    ask(client, "What is there to see?")
    world.done("topics", "create")
    world.done("topics", "check")
    world.done("ask", "What is there to see?", "--category", "strict")
    for topic in ("responses", "decisions"):
        assert world.done("watch", topic, "--from-start", "--count", "1", "--json").rows
    eventually(lambda: world.refrain("stats", "--json").code == 0)
    findings = world.refrain("doctor", "--json").rows
    asked = [each for each in findings if each["check"] in ("broker", "topics", "policy", "lag")]
    assert {each["check"] for each in asked} == {"broker", "topics", "policy", "lag"}
    assert [each for each in asked if each["state"] == "fail"] == []
    assert all("1 member" in each["seen"] for each in asked if each["check"] == "lag")


# -- what is denied


def error_of_reading(world: World, role: str, topic: str) -> int | None:
    """What the broker says to somebody who reads a topic in spite of all; None when it gives records or an end."""
    settings = world.settings_of(role)
    name = settings.prefix + topic
    base = {"bootstrap.servers": settings.kafka, **world.broker.connection(default_name(role, settings))}
    consumer = Consumer({**base, "group.id": f"{settings.prefix}{role}-x", "enable.partition.eof": True})
    try:
        error = consumer.list_topics(name, timeout=WAIT_S).topics[name].error
        if error is None:
            consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
            error = first_of(consumer).error()
        code: int | None = None if error is None else error.code()
        return None if code == KafkaError._PARTITION_EOF else code
    finally:
        consumer.close()


def first_of(consumer: Consumer) -> Message:
    """The first record, or error, that a consumer gets."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        message = consumer.poll(0.2)
        if message is not None:
            return message
    raise AssertionError("the broker says nothing")


def error_of_writing(world: World, role: str, topic: str) -> int | None:
    """What the broker says to somebody who writes to a topic in spite of all; None when it takes the record."""
    settings = world.settings_of(role)
    base = {"bootstrap.servers": settings.kafka, **world.broker.connection(default_name(role, settings))}
    codes: list[int | None] = []

    def reported(error: KafkaError | None, message: Message) -> None:
        codes.append(None if error is None else error.code())

    producer = Producer({**base, "enable.idempotence": False})
    producer.produce(settings.prefix + topic, b"junk", on_delivery=reported)
    producer.flush(WAIT_S)
    return codes[0]


DENIED = KafkaError.TOPIC_AUTHORIZATION_FAILED


@pytest.mark.parametrize("role", [CLIENTS, CONNECTORS, AUDITORS])
def test_nobody_outside_reads_more_than_the_table_says(world: World, role: str) -> None:
    assert {topic for topic in BY_NAME if error_of_reading(world, role, topic) is None} == set(reads(role))
    assert error_of_reading(world, role, "journal") == DENIED


@pytest.mark.parametrize("role", [CLIENTS, CONNECTORS, OPERATORS, AUDITORS])
def test_nobody_outside_writes_what_is_not_theirs(world: World, role: str) -> None:
    closed = [topic for topic in BY_NAME if topic not in writes(role)]
    assert "journal" in closed
    assert {topic: error_of_writing(world, role, topic) for topic in closed} == dict.fromkeys(closed, DENIED)


def test_a_processor_of_another_user_says_which_acls_it_lacks(world: World) -> None:
    one = Running(processor("verify"), world.settings_of(CLIENTS))
    eventually(lambda: one.problem is not None)
    assert isinstance(one.problem, Forbidden)
    assert "refrain topics acls --role verify" in str(one.problem)
    assert "doubts" in str(one.problem)


def test_what_somebody_else_tries_ends_with_the_advice_to_grant_it(world: World) -> None:
    told = world.refrain("policies", "show", role=CLIENTS)
    assert told.code == 78
    assert "refrain topics acls" in told.err
    with pytest.raises(Forbidden, match=r"decisions.*refrain topics acls"):
        world.log_of(CLIENTS).producer().send([Outgoing("decisions", b"k", b"junk")])
