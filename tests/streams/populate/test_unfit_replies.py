"""Completions whose replies cannot be sent, among others: each good one is delivered once, and the worker lives."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refrain.schemas.base import Reply
from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.dead_letters import NotSent
from refrain.schemas.forwards import Completion, Status
from refrain.schemas.journal import Answered, AnswerFailed, AnswerWithheld, decode_event
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.responses import DecisionSummary, Problem, Response
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.own_topics import is_reply_topic
from refrain.streams.messaging.routes import DirectRoute, ShardRoute
from refrain.streams.metrics import Metrics
from refrain.streams.populate.worker import run_populate
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Settings
from tests.streams.lookup.test_unfit_replies import BAD, GOOD, ODD, VIEWS
from tests.streams.signed import PREFIX, SIGNED, signed_route

POLICY = Policy(categories={"chat": CategoryPolicy(), "medical": CategoryPolicy(cache=Cacheable.NEVER)})
REPLIES = {**GOOD, **BAD, **ODD}
REFUSED = {name for name, reply in BAD.items() if not is_reply_topic(reply.topic, PREFIX)}
"""Replies for which a route is not followed at all."""
WAYS = ("direct", "withheld", "failed", "shard")
SIZES = (300, 600_000)
"""Of answers; the larger one is more than a reply topic takes."""


class World:
    """A cluster with completions, and a populate worker by a view of it."""

    def __init__(self, view: str) -> None:
        self.cluster = MemoryCluster(lambda: 5)
        self.cluster.create("/replies", 2, 500_000)
        self.cluster.create("/kept", 1, compacted=True)
        self.cluster.create("/tiny", 1, 250)
        self.view = VIEWS[view](self.cluster)
        in_force = PolicyInForce(version=7, who="w", at_ms=0, policy=POLICY)
        self.cluster.append([Outgoing("policies", POLICY_KEY, in_force.encode())])
        self.count = 0

    def complete(self, reply: Reply, way: str, size: int) -> str:
        """A completion by a route with the reply. Returns the id of its forward."""
        self.count += 1
        id_ = f"0-{self.count}-tag"
        decision = DecisionSummary(id=id_, reason="category_never")
        route: DirectRoute | ShardRoute
        if way == "direct":
            route = DirectRoute(forward_id=id_, request_id=id_, tenant="acme", reply=reply, decision=decision)
        else:
            category = "chat" if way == "shard" else "medical"
            route = ShardRoute(
                forward_id=id_, incarnation=self.cluster.topic_id("journal"), partition=3, category=category,
                request_id=id_, tenant="acme", reply=reply, decision=decision, deadline_at_ms=10_000,
            )  # fmt: skip
        body = None if way == "failed" else {"text": "x" * size}
        error = Problem(code="upstream_failed", message="no") if way == "failed" else None
        status = Status.OK if body is not None else Status.FAILED
        if size > 300 and len(signed_route(route)) > 1_000_000:
            body = None if body is None else {"text": ""}
        whole = Completion(forward_id=id_, route=signed_route(route), status=status, body=body, error=error)
        self.cluster.append([Outgoing("completions", id_.encode(), whole.encode(), (), 0)])
        return id_

    def run(self) -> None:
        """Deliver all completions."""

        def done() -> bool:
            group = self.cluster.group("completions", "populate").offsets.get(0)
            return group is not None and group.next_offset == self.count

        context = WorkerContext(
            Settings(routes=SIGNED), self.view, Metrics(), stop=done, ready=lambda: None, now_ms=lambda: 5
        )
        run_populate(context)

    def told(self) -> Counter[str | None]:
        """How often each request was told on a topic for responses."""
        rows = [row for topic in ("responses", "/replies", "/kept", "/tiny") for row in self.cluster.records(topic)]
        return Counter(Response.decode(row.value or b"").request_id for row in rows)

    def shard_told(self) -> Counter[str]:
        """How often the shard was told of each forward."""
        events = [decode_event(row.value or b"") for row in self.cluster.records("journal")]
        assert all(isinstance(event, Answered | AnswerFailed | AnswerWithheld) for event in events)
        return Counter(getattr(event, "forward_id", "") for event in events)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*BAD, *ODD])
def test_a_reply_that_cannot_be_sent_costs_that_reply(name: str, way: str, view: str) -> None:
    world = World(view)
    before = world.complete(GOOD["responses"], "direct", 300)
    bad = world.complete(REPLIES[name], way, 300)
    after = world.complete(GOOD["replies"], "direct", 300)
    world.run()
    told = world.told()
    assert (told[before], told[after]) == (1, 1)
    rows = world.cluster.records("dead-letters")
    assert [world.cluster.records(topic) for topic in ("control", "documents")] == [[], []]
    if name in REFUSED:
        assert (told[bad], world.shard_told()[bad], len(rows)) == (0, 0, 1)
        return
    assert world.shard_told()[bad] == (0 if way == "direct" else 1)
    letters = [NotSent.decode(row.value or b"") for row in rows]
    if way in ("direct", "withheld"):
        assert told[bad] + len(letters) == 1
        assert name == "a topic of 250 bytes" or (told[bad] == 1) == (name in ODD)
    else:
        assert (told[bad], letters) == (0, []), "the shard tells the requester"


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    traffic=st.lists(
        st.tuples(st.sampled_from([*GOOD, *GOOD, *BAD, *ODD]), st.sampled_from(WAYS), st.sampled_from(SIZES)),
        min_size=1,
        max_size=12,
    ),
    view=st.sampled_from([*VIEWS]),
)
def test_every_good_completion_is_delivered_once_whatever_else_comes(
    traffic: list[tuple[str, str, int]], view: str
) -> None:
    world = World(view)
    sent = [(name, way, world.complete(REPLIES[name], way, size)) for name, way, size in traffic]
    world.run()
    told, shard_told = world.told(), world.shard_told()
    for name, way, id_ in sent:
        assert shard_told[id_] == (0 if way == "direct" or name in REFUSED else 1)
        if name not in BAD:
            assert told[id_] == (1 if way in ("direct", "withheld") else 0)
