"""The endpoint on a real broker: a miss, a hit in other words, streams, and answers while lookup is away."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import openai
import pytest
from confluent_kafka.admin import AdminClient

from refrain.schemas.control import SetPolicy
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.classify.worker import run_classify
from refrain.streams.client import AsyncClient, Client, NotAnswered
from refrain.streams.edge.worker import run_edge
from refrain.streams.govern.worker import run_govern
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.lookup.worker import run_lookup
from refrain.streams.populate.worker import run_populate
from refrain.streams.settings import Edge, Settings, Upstream
from refrain.streams.upstream.simulated.server import SimulatedServer
from refrain.streams.upstream.worker import run_upstream
from tests.eventually import eventually
from tests.integration.processors import Running
from tests.integration.topics import create_table

POLICY = Policy(categories={"uncategorised": CategoryPolicy(threshold=0.8)})
QUESTION = "How do I reverse a list in Python?"
REWORDED = "How do I reverse a Python list?"
PROCESSORS: tuple[Callable[..., None], ...] = (run_classify, run_populate, run_upstream, run_govern)


class World:
    """A running service with its endpoint."""

    def __init__(self, settings: Settings, lookup: Running, port: int) -> None:
        self.settings = settings
        self.lookup = lookup
        self.openai = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)

    def ask(self, text: str, **headers: str) -> tuple[str, str | None]:
        raw = self.openai.chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": text}], extra_headers=headers
        )
        return raw.headers["x-refrain-outcome"], raw.parse().choices[0].message.content

    def stream(self, text: str) -> list[str]:
        chunks = self.openai.chat.completions.create(
            model="m", messages=[{"role": "user", "content": text}], stream=True
        )
        return [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]


@pytest.fixture
def world(settings: Settings, admin: AdminClient) -> Iterator[World]:
    create_table(admin, settings.prefix)
    port: queue.SimpleQueue[int] = queue.SimpleQueue()
    with ExitStack() as ends, SimulatedServer(Upstream(latency_median_ms=20, latency_sigma=0)) as model:
        asking = settings.model_copy(
            update={
                "upstream": Upstream(base_url=model.base_url),
                "edge": Edge(auth="none", port=0, cache_wait_ms=1_500),
            }
        )
        cluster = ends.enter_context(KafkaCluster(asking))
        lookup = Running(run_lookup, asking)
        started = [Running(run, asking) for run in PROCESSORS]
        started.append(Running(run_edge, asking, listening=port.put))
        for each in (lookup, *started):
            each.wait_until_ready()
        for each in started:
            ends.callback(each.end)
        cluster.producer().send([Outgoing("control", None, SetPolicy(who="me", policy=POLICY).encode())])
        world = World(asking, lookup, port.get())
        ends.callback(world.openai.close)
        eventually(lambda: world.ask("Is the policy in force?")[0] == "hit")
        yield world
        world.lookup.end()


def test_openais_client_is_answered_by_model_and_cache_and_by_the_model_alone_while_lookup_is_away(
    world: World,
) -> None:
    miss, hit = world.ask(QUESTION), world.ask(REWORDED)
    assert (miss[0], hit[0]) == ("miss", "hit")
    assert miss[1] == hit[1]
    live, replayed = world.stream("What is a generator?"), world.stream("What is a generator?")
    assert len(live) > 3
    assert "".join(live) == "".join(replayed)
    with Client(world.settings) as client:
        body = {"model": "m", "messages": [{"role": "user", "content": QUESTION}]}
        reply = client.ask(body)
        assert (reply.outcome, reply.text) == ("hit", miss[1])
        found = client.ask_all([body] * 20, in_flight_max=5)
        assert [each.text for each in found if not isinstance(each, NotAnswered)] == [miss[1]] * 20

    async def pieces() -> list[str]:
        asked = {"model": "m", "messages": [{"role": "user", "content": "What is a decorator?"}]}
        async with AsyncClient(world.settings) as client:
            return [piece async for piece in client.stream(asked)]

    said = asyncio.run(pieces())
    assert len(said) > 3
    assert "What is a decorator?" in "".join(said)
    world.lookup.end()
    outcome, text = world.ask("Who answers while lookup is away?")
    assert outcome == "bypass"
    assert "Who answers while lookup is away?" in (text or "")
    with pytest.raises(openai.InternalServerError, match="the cache does not answer"):
        world.ask(QUESTION, **{"x-refrain-cache": "only"})
    world.lookup = Running(run_lookup, world.settings)
    world.lookup.wait_until_ready()
    eventually(lambda: world.ask(REWORDED)[0] == "hit")
