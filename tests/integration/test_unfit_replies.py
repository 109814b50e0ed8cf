"""Reply topics of every bad kind on a real broker: each costs its own replies, and no other answer and no worker."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.dead_letters import HEADER_TARGET
from refrain.schemas.forwards import Forward
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.responses import Response
from refrain.streams.classify.worker import run_classify
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Headers, Outgoing, Record
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.populate.worker import run_populate
from refrain.streams.settings import Classify, Settings, Upstream
from refrain.streams.upstream.model import Answer
from refrain.streams.upstream.simulated.model import SimulatedModel
from refrain.streams.upstream.worker import run_upstream
from tests.eventually import eventually
from tests.integration.make_topic import ADMIN_S, make_topic
from tests.integration.processors import WAIT_S, running_all
from tests.integration.topics import create_table

SIMULATED = Upstream(connector="simulated", latency_median_ms=1.0)
POLICY = Policy(
    categories={
        "chat": CategoryPolicy(),
        "medical": CategoryPolicy(cache=Cacheable.NEVER),
        "uncategorised": CategoryPolicy(),
    }
)


class WaitingModel(SimulatedModel):
    """A simulated model that answers nobody before an event."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__(SIMULATED)
        self._event = event

    async def answer(self, forward: Forward) -> Answer:
        await asyncio.to_thread(self._event.wait, WAIT_S)
        return await super().answer(forward)


class World:
    """Topics of the table and reply topics, and four processors with a slow model."""

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        self.admin = admin
        self.mark = f"{settings.prefix}to"
        self.spoilt = threading.Event()
        """Set once a topic is deleted and others are changed: the model answers no earlier."""
        self.settings = settings.model_copy(
            update={
                "classify": Classify(reply_topics=(f"{self.mark}-*",)),
                "upstream": SIMULATED,
            }
        )
        create_table(admin, settings.prefix)
        self.cluster = KafkaCluster(self.settings)
        self.producer = self.cluster.producer()
        in_force = PolicyInForce(version=0, who="w", at_ms=0, policy=POLICY)
        self.producer.send([Outgoing("policies", POLICY_KEY, in_force.encode())])

    def make(self, name: str, **config: str) -> None:
        """A reply topic."""
        make_topic(self.admin, f"{self.mark}-{name}", 2, **config)

    def ask(self, name: str, *, to: str | None = None, category: str = "chat", key: bytes | None = b"k") -> None:
        """A question whose answer is to go to a reply topic."""
        body = {"model": "m", "messages": [{"role": "user", "content": f"What is the answer to {name}?"}]}
        message = {"v": 1, "request_id": name, "category": category, "body": body}
        headers: Headers = () if to is None else (("reply-to", f"{self.mark}-{to}".encode()),)
        self.producer.send([Outgoing("requests", key, json.dumps(message).encode(), headers)])

    def rows(self, topic: str) -> list[Record]:
        """All records of a topic."""
        return [row for number in range(self.cluster.partitions(topic)) for row in self.cluster.scan(topic, number)]

    def told(self, topic: str = "responses") -> Counter[str | None]:
        """How often each request was told there."""
        return Counter(Response.decode(row.value or b"").request_id for row in self.rows(topic))

    def refused(self) -> Counter[str]:
        """How many dead letters there are by the topic that did not take something."""
        targets = [dict(row.headers).get(HEADER_TARGET) or b"" for row in self.rows("dead-letters")]
        return Counter(target.decode().removeprefix(f"/{self.mark}-") for target in targets)


@pytest.fixture
def world(settings: Settings, admin: AdminClient) -> Iterator[World]:
    made = World(settings, admin)
    yield made
    made.producer.close()
    made.cluster.close()


def test_reply_topics_that_fail_cost_their_own_replies(world: World) -> None:
    for name, config in (
        ("gone", {}),
        ("shrinks", {}),
        ("tiny", {"max_message_bytes": "250"}),
        ("small", {"max_message_bytes": "700"}),
        ("kept", {"cleanup_policy": "compact"}),
        ("turns", {}),
        ("fine", {}),
    ):
        world.make(name, **config)
    upstream = partial(run_upstream, make_model=lambda: WaitingModel(world.spoilt))
    with running_all((run_lookup, run_populate, upstream, run_classify), world.settings) as workers:
        for category in ("chat", "medical"):
            for to in ("gone", "shrinks", "tiny", "small", "fine"):
                world.ask(f"{to}-{category}", to=to, category=category)
            world.ask(f"kept-{category}", to="kept", category=category)
            world.ask(f"keyless-{category}", to="kept", category=category, key=None)
            world.ask(f"turns-{category}", to="turns", category=category, key=None)
            world.ask(f"good-{category}", category=category)
        eventually(lambda: len(world.rows("forwards")) >= 16)
        spoil(world)
        world.spoilt.set()
        eventually(lambda: {"good-chat", "good-medical"} <= world.told().keys())
        eventually(lambda: {"fine-chat", "fine-medical"} <= world.told(f"/{world.mark}-fine").keys())
        eventually(lambda: world.refused()["gone"] == world.refused()["turns"] == 2)
        for number in range(5):
            world.ask(f"later-{number}", to=None if number % 2 else "fine")
        eventually(
            lambda: sum(world.told().values()) + sum(world.told(f"/{world.mark}-fine").values()) >= 2 + 2 + 2 + 5
        )
        assert [worker.problem for worker in workers] == [None] * 4
    told = world.told() + world.told(f"/{world.mark}-fine")
    good = [name for name in told if name is not None and name.startswith(("good", "fine", "later", "keyless"))]
    assert len(good) == 11
    assert [told[name] for name in good] == [1] * 11
    for topic in ("small", "shrinks"):
        errors = [Response.decode(row.value or b"").error for row in world.rows(f"/{world.mark}-{topic}")]
        assert [error and error.code for error in errors] == ["answer_too_large"] * 2
    assert world.told(f"/{world.mark}-kept") == Counter({"kept-chat": 1, "kept-medical": 1})
    tiny = world.refused()["tiny"] + len(world.rows(f"/{world.mark}-tiny"))
    assert tiny == 2


def spoil(world: World) -> None:
    """Delete a reply topic, and change two, while answers for them are on their way."""
    name = f"{world.mark}-gone"
    world.admin.delete_topics([name])[name].result(ADMIN_S)
    for topic, key, value in (("shrinks", "max.message.bytes", "700"), ("turns", "cleanup.policy", "compact")):
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, f"{world.mark}-{topic}", incremental_configs=[entry])
        world.admin.incremental_alter_configs([resource])[resource].result(ADMIN_S)
