"""The table of topics is what the processors do: each runs, and what it read and wrote is what the table says."""

from __future__ import annotations

import base64
import itertools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from refrain.ops.run.processors import processor
from refrain.ops.topics.acls import acls_of
from refrain.schemas.base import Header, Reply, Sealed
from refrain.schemas.control import POLICY_KEY, Judge, PolicyInForce, SetPolicy
from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.forwards import Completion, Forward, Status
from refrain.schemas.load import LoadSample
from refrain.schemas.observations import Observation
from refrain.schemas.policy import Cacheable, CategoryPolicy, ModelPolicy, Policy
from refrain.schemas.policy_rules import Match, Rule
from refrain.schemas.progress import ProgressPlace
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import DecisionSummary
from refrain.schemas.topics import BY_NAME, CONSUMING, GROUPS, PROCESSORS, ROLES, TOPICS, needs, reads, writes
from refrain.streams.adapt.worker import run_adapt
from refrain.streams.classify.worker import run_classify
from refrain.streams.compare.worker import run_compare
from refrain.streams.edge.worker import run_edge
from refrain.streams.errors import Forbidden, WrongSetup
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.interface import Cluster, Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.messaging.progress import HEADER as PROGRESS
from refrain.streams.messaging.routes import DirectRoute, ShardRoute
from refrain.streams.metrics import Metrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.models.verifier import SharedWordsVerifier
from refrain.streams.populate.worker import run_populate
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.topic_check import require_topics
from refrain.streams.settings import Adapt, Edge, Embedding, Settings, Upstream
from refrain.streams.upstream.worker import run_upstream
from refrain.streams.verify.worker import run_verify
from tests.streams.adapt.fake_faust_app import App
from tests.streams.kafka.recording import RecordingCluster
from tests.streams.shard.journal import Journal, near, vector
from tests.streams.signed import SIGNED, signed_route

WAIT_S = 20.0
NOW_MS = 1_000_000
JUNK = b"junk"
POLICY = Policy(
    categories={"code": CategoryPolicy(), "medical": CategoryPolicy(cache=Cacheable.NEVER)},
    rules=(Rule(when=Match(pattern="diagnosis"), category="medical"),),
    models={"m": ModelPolicy(latency_target_ms=100, queue_target=10)},
)
Run = Callable[..., None]


class World:
    """A cluster in memory with few partitions, what is noted of it, and the settings of one processor."""

    def __init__(self, state_dir: Path) -> None:
        ticks = itertools.count(NOW_MS, 50)
        self.now_ms: Callable[[], int] = lambda: next(ticks)
        self.cluster = MemoryCluster(lambda: NOW_MS, {topic.name: min(topic.partitions, 2) for topic in TOPICS})
        self.seen = RecordingCluster(self.cluster)
        self.settings = Settings(
            state_dir=state_dir,
            routes=SIGNED,
            embedding=Embedding(backend="free"),
            adapt=Adapt(interval_ms=100),
            upstream=Upstream(connector="simulated", load_interval_ms=100, latency_median_ms=1),
        )

    def give(self, topic: str, *values: bytes, key: bytes | None = b"k", partition: int | None = None) -> None:
        """Write records that are there before the processor runs."""
        self.cluster.append([Outgoing(topic, key, value, (), partition) for value in values])

    def put_in_force(self) -> None:
        """A policy stands in `policies`."""
        self.give("policies", PolicyInForce(version=1, who="w", at_ms=0, policy=POLICY).encode(), key=POLICY_KEY)

    def idle(self, cluster: Cluster) -> WorkerContext:
        """The context of a processor that stops at once."""
        return WorkerContext(
            self.settings, cluster, Metrics(), stop=lambda: True, ready=lambda: None, now_ms=self.now_ms
        )

    def run(self, work: Run, **more: Any) -> None:
        """Run the processor until it has written what the table says, and was given the time to write more."""
        until = time.monotonic() + WAIT_S
        name = work.__name__.removeprefix("run_")
        rounds = itertools.count()

        def stop() -> bool:
            return time.monotonic() > until or (next(rounds) > 20 and self.seen.written >= set(writes(name)))

        context = WorkerContext(self.settings, self.seen, Metrics(), stop=stop, ready=lambda: None, now_ms=self.now_ms)
        work(context, **more)


def classify(world: World) -> None:
    world.put_in_force()
    for text in ("What is a list?", "my diagnosis"):
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        value = json.dumps({"v": 1, "body": body, "category": "code"}).encode()
        world.cluster.append([Outgoing("requests", b"k", value, ((PROGRESS, b"0/me"),))])
    world.give("requests", JUNK)
    world.run(run_classify)


def lookup(world: World) -> None:
    """A miss and its answer, an observed request, one in doubt, one that nobody answers, and what is no event."""
    journal = Journal()
    journal.policy(verify=0.5, limits={"verify_timeout_ms": 500})
    question = json.loads(journal.ask("q", vector(1)).value or b"")
    journal.answer(question["id"])
    observed = json.loads(journal.ask("q", vector(1), mode=CacheMode.OBSERVE).value or b"")
    journal.answer(observed["id"], "another answer")
    journal.ask("reworded", near(0.97))
    wish = Header(name=PROGRESS, value=base64.b64encode(b"0/me").decode())
    journal.ask("streamed", vector(0, 0, 1), reply=Reply(topic="responses", headers=(wish,)))
    journal.ask("of something else", vector(0, 1))
    journal.add(JUNK)
    world.give("journal", *(record.value or b"" for record in journal.records), partition=0)
    # Its second worker, of the same slot, asks whether the stores of the first are too old.
    world.run(run_lookup)
    world.run(run_lookup)


def populate(world: World) -> None:
    incarnation = world.cluster.topic_id("journal")
    decision = DecisionSummary(id="g", reason="category_never")
    routes: list[ShardRoute | DirectRoute] = [
        ShardRoute(forward_id="f", incarnation=incarnation, partition=1),
        DirectRoute(forward_id="g", request_id="r", tenant="t", reply=Reply(topic="responses"), decision=decision),
    ]
    world.put_in_force()
    for route in routes:
        done = Completion(
            forward_id=route.forward_id, route=signed_route(route), status=Status.OK, body={"a": 1}, latency_ms=1
        )
        world.give("completions", done.encode())
    world.give("completions", JUNK)
    # Its second worker looks back at what the first has told.
    world.run(run_populate)
    world.run(run_populate)


def upstream(world: World) -> None:
    route = signed_route(ShardRoute(forward_id="f", incarnation="i", partition=0))
    place = ProgressPlace(partition=0, id="me")
    forward = Forward(forward_id="f", model="m", body={"q": 1}, deadline_at_ms=10**12, route=route, progress=place)
    world.give("forwards", forward.encode(), JUNK)
    world.give("completions", JUNK)
    world.run(run_upstream)


def govern(world: World) -> None:
    judge = Judge(who="w", why="I looked", decision_id="nowhere", correct=True)
    world.give("decisions", JUNK)
    world.give("control", SetPolicy(who="w", policy=POLICY).encode(), judge.encode(), JUNK, key=None)
    world.run(run_govern)


def adapt(world: World) -> None:
    sample = LoadSample(model="m", replica="a", latency_p95_ms=180, queue_depth=18, at_ms=NOW_MS)
    world.put_in_force()
    world.give("load", sample.encode(), JUNK)
    world.run(run_adapt, make_app=lambda settings, name: App(world.seen, settings.prefix, settings.prefix + name))


def compare(world: World) -> None:
    sealed = [Sealed(data=json.dumps({"message": {"content": text}})) for text in ("the one", "the other")]
    observation = Observation(
        decision_id="0-1-t", tenant="t", category="code", model="m", entry_id="0-4-x", time_ms=1, equal=False,
        cached=sealed[0], answered=sealed[1],
    )  # fmt: skip
    world.give("observations", observation.encode(), JUNK)
    world.run(run_compare, embedder=HashingEmbedder())


def verify(world: World) -> None:
    doubt = DoubtRaised(
        id="0-1-t", partition=1, incarnation=world.cluster.topic_id("journal"), category="code", entry=4,
        question=Sealed(data="How?"), cached=Sealed(data="How so?"), deadline_at_ms=10**12,
    )  # fmt: skip
    world.give("doubts", doubt.encode(), JUNK)
    world.run(run_verify, verifier=SharedWordsVerifier())


def edge(world: World) -> None:
    """One request over HTTP; nobody answers it but the clock."""
    settings = world.settings
    world.settings = settings.model_copy(update={"edge": Edge(auth="none", port=0, cache_wait_ms=10, drain_ms=0)})

    def ask(port: int) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": "Who?"}]}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        threading.Thread(target=lambda: httpx.post(url, json=body, trust_env=False), daemon=True).start()

    world.run(run_edge, listening=ask)


SCENARIOS: dict[str, Callable[[World], None]] = {
    "classify": classify, "lookup": lookup, "populate": populate, "upstream": upstream, "govern": govern,
    "adapt": adapt, "compare": compare, "verify": verify, "edge": edge,
}  # fmt: skip
"""Input that makes a processor use every topic that it has."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_processor_reads_and_writes_what_the_table_says_and_nothing_else(world: World, name: str) -> None:
    SCENARIOS[name](world)
    seen = world.seen
    assert seen.written == set(writes(name))
    assert seen.read == set(reads(name))
    assert seen.read | seen.written | set(seen.described) == set(needs(name))
    # Once each is described by the check at the start.
    again = {topic for topic, times in seen.described.items() if times > 1}
    assert again - seen.read - seen.written == {topic.name for topic in TOPICS if name in topic.describers}
    assert seen.configs_read == {topic.name for topic in TOPICS if topic.shows_config_to(name)}
    assert seen.groups == ({name: GROUPS[name]} if name in CONSUMING else {})
    may = [acl for acl in acls_of(name, world.settings) if acl.resource == "transactional-id"]
    assert len(may) == len(seen.transactional_ids)
    for acl, used in zip(may, seen.transactional_ids, strict=True):
        whole = world.settings.prefix + used
        assert whole.startswith(acl.name) if acl.pattern == "prefixed" else whole == acl.name


@pytest.mark.parametrize("name", PROCESSORS)
def test_no_processor_starts_without_one_of_its_topics_and_it_names_all_that_it_lacks(world: World, name: str) -> None:
    run = processor(name)
    for topic in needs(name):
        lacking = MemoryCluster(lambda: NOW_MS, {other: 1 for other in BY_NAME if other != topic})
        with pytest.raises(WrongSetup, match=f"{topic} does not exist: run `refrain topics create`"):
            run(world.idle(lacking))
    with pytest.raises(WrongSetup) as raised:
        run(world.idle(MemoryCluster(world.now_ms, {})))
    assert all(topic in str(raised.value) for topic in needs(name))


def test_topics_that_may_not_be_seen_are_told_apart_from_those_that_are_not_there() -> None:
    class Walled(MemoryCluster):
        """Hides a topic, as a broker with ACLs does."""

        def partitions(self, topic: str) -> int:
            if topic in ("doubts", "journal"):
                raise Forbidden(f"topic {topic} may not be seen")
            return super().partitions(topic)

    with pytest.raises(Forbidden, match=r"\(journal, doubts\).*`refrain topics acls --role verify`"):
        require_topics(Walled(lambda: 0), "verify")
    with pytest.raises(WrongSetup, match=r"do not exist \(dead-letters\).*may not see .*\(journal, doubts\)") as both:
        require_topics(Walled(lambda: 0, {"journal": 1, "doubts": 1}), "verify")
    assert not isinstance(both.value, Forbidden)


def test_the_table_names_no_role_that_is_not_known() -> None:
    for topic in TOPICS:
        named = {*topic.writers, *topic.readers, *topic.describers, *topic.config_readers}
        assert named <= set(ROLES), topic.name
        assert topic.group is None or topic.group in topic.readers
