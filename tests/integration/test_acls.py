"""On a broker that denies all but the ACLs of `refrain topics acls`, everything works, and nobody can do more."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from pydantic import SecretStr

from infra.demo.script import POLICY, read_demo
from infra.local.broker import LOCAL
from infra.local.jar_broker import BrokerFailed
from refrain.ops.ask.client import Client
from refrain.ops.ask.questions import Defaults, request_of
from refrain.ops.cli import main
from refrain.ops.run.processors import NAMES, processor
from refrain.ops.topics.acls import default_name
from refrain.schemas.base import Reply
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.forwards import Completion, Forward, Status
from refrain.schemas.journal import LoadChanged, decode_event
from refrain.schemas.load import LoadSample
from refrain.schemas.observations import Comparison
from refrain.schemas.requests import CacheMode, Request
from refrain.schemas.responses import DecisionSummary, Response
from refrain.schemas.topics import (
    AUDITORS,
    BY_NAME,
    CLIENTS,
    CONNECTORS,
    CONSUMING,
    OPERATORS,
    PROCESSORS,
    ROLES,
    reads,
    writes,
)
from refrain.streams.errors import Forbidden, LoginRefused
from refrain.streams.kafka.batches import batches_in
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.raw_fetch import raw_fetch
from refrain.streams.messaging.routes import DirectRoute, encode_route
from refrain.streams.messaging.signed_routes import RouteSigner
from refrain.streams.messaging.signing import SigningKeys
from refrain.streams.settings import Adapt, Edge, Embedding, Settings, Upstream, Verify
from tests.eventually import eventually
from tests.integration.attempts import (
    DENIED,
    NOBODY,
    REFRAIN,
    Attempt,
    errors_of_reading,
    errors_of_writing,
    table,
    told,
)
from tests.integration.processors import Running
from tests.integration.secured import connections, prepare
from tests.integration.walled_broker import ROOT, WalledBroker, walled_broker

SHARDS = 2
STRICT = {"threshold": 0.6, "guards": [], "verify": 0.9}
REVERSE = "How do I reverse a list in Python?"
REWORDED = "How can I reverse the list in Python?"
TENANT = "acme"
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
            edge=Edge(auth="none", port=0),
        )
        self.root = KafkaCluster(broker.settings_of(ROOT, self._settings))

    def settings_of(self, role: str) -> Settings:
        return self.broker.settings_of(default_name(role, self._settings), self._settings)

    def log_of(self, role: str) -> KafkaCluster:
        return KafkaCluster(self.settings_of(role))

    def connection_of(self, role: str) -> dict[str, str]:
        """librdkafka's properties to be the user of a role."""
        return self.broker.connection(default_name(role, self._settings))

    def refrain(self, *arguments: str, role: str = OPERATORS, env: Mapping[str, str] | None = None) -> Told:
        """Run a command as the user of a role; `env` sets more."""
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
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            with redirect_stdout(out), redirect_stderr(err):
                code = main(arguments)
        return Told(code, out.getvalue(), err.getvalue())

    def done(self, *arguments: str, role: str = OPERATORS, env: Mapping[str, str] | None = None) -> Told:
        """Run a command that must succeed."""
        told = self.refrain(*arguments, role=role, env=env)
        assert told.code == 0, (arguments, told)
        return told


def applied(world: World, *arguments: str, env: Mapping[str, str] | None = None) -> None:
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
        for row in world.done("topics", "acls", "--json", *arguments, env=env).rows
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
        with walled_broker(home, [TENANT, *(default_name(role, Settings()) for role in ROLES)]) as walled:
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

    eventually(lambda: buried() == {name.encode() for name in CONSUMING})


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
    looked_at = {"broker", "topics", "policy", "lag", "routes"}
    asked = [each for each in findings if each["check"] in looked_at]
    assert {each["check"] for each in asked} == looked_at
    assert any("verified by 1 populate worker" in each["seen"] for each in asked)
    assert [each for each in asked if each["state"] == "fail"] == []
    assert all("1 member" in each["seen"] for each in asked if each["check"] == "lag")


# -- what is denied


@pytest.fixture(scope="module")
def attempts(request: pytest.FixtureRequest) -> Iterator[list[Attempt]]:
    """What was tried; it is printed at the end."""
    tried: list[Attempt] = []
    yield tried
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
        print("", "| role | tries to | refused by | how |", "|---|---|---|---|", *table(tried), sep="\n")


@pytest.mark.parametrize("role", ROLES)
def test_nobody_reads_more_than_the_table_says(world: World, attempts: list[Attempt], role: str) -> None:
    settings = world.settings_of(role)
    group = role if role in PROCESSORS else f"{role}-x"
    found = errors_of_reading(world.connection_of(role), settings, list(BY_NAME), group)
    assert {topic for topic, code in found.items() if code is None} == set(reads(role))
    closed = {topic: code for topic, code in found.items() if topic not in reads(role)}
    assert closed == dict.fromkeys(closed, DENIED)
    attempts += told(role, "read", closed)


@pytest.mark.parametrize("role", ROLES)
def test_nobody_writes_what_is_not_theirs(world: World, attempts: list[Attempt], role: str) -> None:
    closed = [topic for topic in BY_NAME if topic not in writes(role)]
    found = errors_of_writing(world.connection_of(role), world.settings_of(role), closed)
    attempts += told(role, "write", found)
    assert found == dict.fromkeys(closed, DENIED)


MARK = "forged by a connector"


def signed_forward(world: World, client: Client, question: str) -> Forward:
    """The forward of a question that was asked and answered."""
    ask(client, question, mode=CacheMode.REFRESH)
    for partition in range(world.root.partitions("forwards")):
        for record in world.root.scan("forwards", partition):
            if question.encode() in (record.value or b""):
                return Forward.decode(record.value or b"")
    raise AssertionError("nothing was forwarded")


def forged(world: World, client: Client) -> dict[str, tuple[str, str]]:
    """Completions by who may write nothing but them: forward id and route, by what is tried."""
    mine, other = (signed_forward(world, client, f"How do I forge {name}?") for name in ("this", "that"))
    unsigned = mine.route.partition(".")[0]
    tried = {
        "answer a question by an unsigned route": (mine.forward_id, unsigned),
        "answer a question by the route of another": (mine.forward_id, other.route),
        "answer a question by a signature of its own": (mine.forward_id, made_up(unsigned, mine.forward_id)),
    }
    for topic in ("/refrain.control", "/refrain.policies", "/refrain.documents", "/__consumer_offsets"):
        decision = DecisionSummary(id="f", reason="bypass_asked")
        route = encode_route(DirectRoute(forward_id="f", tenant="t", reply=Reply(topic=topic), decision=decision))
        tried[f"answer into {topic[1:]} by an unsigned route"] = ("f", route)
        tried[f"answer into {topic[1:]} by a signature of its own"] = ("f", made_up(route, "f"))
    return tried


def made_up(route: str, forward_id: str) -> str:
    return RouteSigner(SigningKeys([b"of nobody that Refrain has heard"]), "refrain.").sign(route, forward_id)


def reasons_of(world: World, processor: str) -> list[str]:
    """Reasons of its dead letters."""
    letters = [dict(letter.headers) for letter in world.root.scan("dead-letters", 0)]
    return [
        (each["refrain.dead.reason"] or b"").decode().partition(":")[0]
        for each in letters
        if each["refrain.dead.processor"] == processor.encode()
    ]


def test_who_may_write_completions_answers_for_nobody_and_reaches_no_other_topic(
    world: World, client: Client, attempts: list[Attempt]
) -> None:
    tried = forged(world, client)
    before = len(reasons_of(world, "populate"))
    producer = world.log_of(CONNECTORS).producer()
    for number, (forward_id, route) in enumerate(tried.values(), 1):
        body = {"choices": [{"index": 0, "message": {"content": MARK}}]}
        value = Completion(forward_id=forward_id, route=route, status=Status.OK, body=body).encode()
        producer.send([Outgoing("completions", forward_id.encode(), value)])
        eventually(lambda number=number: len(reasons_of(world, "populate")) == before + number)  # type: ignore[misc]
    reasons = reasons_of(world, "populate")[before:]
    attempts += [
        Attempt(CONNECTORS, what, REFRAIN if how.startswith("route_") else NOBODY, how)
        for what, how in zip(tried, reasons, strict=True)
    ]
    assert set(reasons) == {"route_unsigned", "route_forged"}
    found = {
        topic
        for topic in BY_NAME
        for partition in range(world.root.partitions(topic))
        if any(MARK.encode() in (record.value or b"") for record in world.root.scan(topic, partition))
    }
    assert found == {"completions"}


def test_a_client_names_no_reply_topic_of_refrains_own(world: World, attempts: list[Attempt]) -> None:
    producer = world.log_of(CLIENTS).producer()
    value = request_of("Where does it go?", Defaults("demo", "strict")).encode()
    topics = ("control", "policies", "journal", "documents")
    before = len(reasons_of(world, "classify"))
    for topic in topics:
        producer.send([Outgoing("requests", b"k", value, (("reply-to", f"refrain.{topic}".encode()),))])
    eventually(lambda: len(reasons_of(world, "classify")) == before + len(topics))
    reasons = reasons_of(world, "classify")[before:]
    attempts += [
        Attempt(CLIENTS, f"hear answers on {topic}", REFRAIN if how == "bad_reply_to" else NOBODY, how)
        for topic, how in zip(topics, reasons, strict=True)
    ]
    assert set(reasons) == {"bad_reply_to"}


def test_a_tenant_with_a_topic_of_its_own_is_nobody_else(world: World, attempts: list[Attempt]) -> None:
    of_acme = {"REFRAIN_CLASSIFY__TOPIC": f"requests.{TENANT}"}
    applied(world, "--principal", f"{CLIENTS}={TENANT}", env=of_acme)
    eventually(lambda: world.refrain("topics", "create", env=of_acme).code == 0)
    classify = world.settings_of("classify")
    bound = classify.classify.model_copy(update={"topic": f"requests.{TENANT}", "tenants": "topic"})
    one = Running(processor("classify"), classify.model_copy(update={"classify": bound}))
    one.wait_until_ready()
    mine = world.broker.settings_of(TENANT, world.settings_of(CLIENTS))
    connection = world.broker.connection(TENANT)
    own = f"requests.{TENANT}"
    before = len(reasons_of(world, "classify"))
    bodies = {tenant: request_of("Whose is it?", Defaults("demo", "strict")) for tenant in ("globex", TENANT)}
    for tenant, request in bodies.items():
        value = request.model_copy(update={"tenant": tenant}).encode()
        KafkaCluster(mine).producer().send([Outgoing(own, b"k", value)])
    eventually(lambda: len(reasons_of(world, "classify")) == before + 1)
    (how,) = reasons_of(world, "classify")[before:]
    attempts.append(Attempt(f"the client {TENANT}", "ask for another tenant", REFRAIN, how))
    assert how == "tenant_not_yours"
    eventually(lambda: TENANT in tenants_decided(world))
    assert "globex" not in tenants_decided(world)
    for who, its, topic in (
        (f"the client {TENANT}", connection, "requests"),
        (CLIENTS, world.connection_of(CLIENTS), own),
    ):
        found = errors_of_writing(its, world.settings_of(CLIENTS), [topic])
        attempts += told(who, "write", found)
        assert found == {topic: DENIED}
    one.end()


def tenants_decided(world: World) -> set[str]:
    return {
        Decision.decode(record.value or b"").tenant
        for partition in range(world.root.partitions("decisions"))
        for record in world.root.scan("decisions", partition)
    }


def test_a_processor_of_another_user_says_which_acls_it_lacks(world: World) -> None:
    one = Running(processor("verify"), world.settings_of(CLIENTS))
    eventually(lambda: one.problem is not None)
    assert isinstance(one.problem, Forbidden)
    assert "refrain topics acls --role verify" in str(one.problem)
    assert "doubts" in str(one.problem)


def test_a_processor_whose_login_is_refused_from_the_start_ends_and_says_what_to_set(world: World) -> None:
    right = world.settings_of("verify")
    wrong = right.model_copy(update={"connection": {**right.connection, "sasl.password": SecretStr("no")}})
    one = Running(processor("verify"), wrong)
    eventually(lambda: one.problem is not None)
    assert isinstance(one.problem, LoginRefused)
    assert "`sasl.password` in the block `connection`" in str(one.problem)


def test_what_somebody_else_tries_ends_with_the_advice_to_grant_it(world: World) -> None:
    told = world.refrain("policies", "show", role=CLIENTS)
    assert told.code == 78
    assert "refrain topics acls" in told.err
    with pytest.raises(Forbidden, match=r"decisions.*refrain topics acls"):
        world.log_of(CLIENTS).producer().send([Outgoing("decisions", b"k", b"junk")])


def test_batches_are_looked_at_by_every_way_in_which_a_client_may_show_who_it_is(broker: WalledBroker) -> None:
    topic = "looked-at"
    prepare(broker, topic)
    with KafkaCluster(broker.settings_of(ROOT, Settings(prefix=""))) as cluster:
        cluster.producer().send([Outgoing(topic, None, b"good")])
    for way, (address, properties) in connections(broker).items():
        secret = {key: SecretStr(value) for key, value in properties.items()}
        data, _ = raw_fetch(Settings(kafka=address, connection=secret))(topic, 0, 0)
        assert [batch.records for batch in batches_in(data)] == [1], way
