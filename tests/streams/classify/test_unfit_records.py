"""Requests whose responses, forwards or questions cannot be sent, among others: each is worked once, and is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refrain.schemas.control import POLICY_KEY, PolicyInForce
from refrain.schemas.journal import Asked, Passed, decode_event
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.schemas.requests import Request
from refrain.schemas.responses import Response
from refrain.streams.classify.worker import run_classify
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.interface import Cluster, Headers, Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Classify, Embedding, Settings
from tests.streams.messaging.test_sending import Silent, Stale
from tests.streams.signed import SIGNED

POLICY = Policy(categories={"chat": CategoryPolicy(), "uncategorised": CategoryPolicy()})
NOW_MS = 5_000
VIEWS: Mapping[str, Callable[[MemoryCluster], Cluster]] = {
    "known": lambda inner: inner,
    "silent": lambda inner: Silent(inner, answers=1),
    "stale": Stale,
}
REPLY_TO: Mapping[str, Headers] = {
    "responses": (),
    "replies": (("reply-to", b"replies"),),
    "gone": (("reply-to", b"gone"),),
    "kept": (("reply-to", b"kept"),),
    "tiny": (("reply-to", b"tiny"),),
    "partition 4711": (("reply-to", b"replies"), ("kafka_replyPartition", b"4711")),
    "illegal": (("reply-to", b"bad topic!"),),
    "own": (("reply-to", b"refrain.control"),),
    "many headers": (("reply-to", b"replies"), *(("", b""),) * 20_000),
    "a large header": (("h", b"x" * 900_000),),
}
BODIES: Mapping[str, dict[str, Any]] = {
    "asked": {"category": "chat"},
    "bypass": {"cache": "bypass"},
    "unknown": {"category": "no-such"},
    "only": {"category": "no-such", "cache": "only"},
}
NEVER_TOLD = {"gone", "kept", "tiny", "partition 4711"}
"""Where the broker alone knows, and refuses: a dead letter is what is left."""


class World:
    """A cluster with requests, and a classify worker by a view of it."""

    def __init__(self, view: str = "known", prefix: str = "") -> None:
        self.cluster = MemoryCluster(lambda: NOW_MS)
        self.cluster.create("/replies", 2, 20_000)
        self.cluster.create("/kept", 1, compacted=True)
        self.cluster.create("/tiny", 1, 250)
        self.view = VIEWS[view](self.cluster)
        in_force = PolicyInForce(version=7, who="w", at_ms=0, policy=POLICY)
        self.cluster.append([Outgoing("policies", POLICY_KEY, in_force.encode())])
        self.count = 0

    def ask(self, value: bytes | None, headers: Headers, key: bytes | None = None) -> None:
        """A request as a record."""
        self.count += 1
        self.cluster.append([Outgoing("requests", key, value, headers, 0)])

    def run(self) -> None:
        """Work all requests."""
        settings = Settings(
            prefix="refrain.",
            routes=SIGNED,
            embedding=Embedding(backend="free"),
            classify=Classify(reply_topics=("*",)),
        )

        def done() -> bool:
            group = self.cluster.group("requests", "classify").offsets.get(0)
            return group is not None and group.next_offset == self.count

        run_classify(
            WorkerContext(settings, self.view, Metrics(), stop=done, ready=lambda: None, now_ms=lambda: NOW_MS)
        )

    def told(self) -> Counter[str | None]:
        """How often each request was told, on any topic for responses."""
        rows = [row for topic in ("responses", "/replies", "/kept", "/tiny") for row in self.cluster.records(topic)]
        return Counter(Response.decode(row.value or b"").request_id for row in rows)

    def journalled(self) -> Counter[str | None]:
        """How often each request got into the journal."""
        events = [decode_event(row.value or b"") for row in self.cluster.records("journal")]
        return Counter(event.request_id for event in events if isinstance(event, Asked | Passed))


def request(name: str, text: str = "How do I reset it?", **fields: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return Request(request_id=name, tenant="acme", body=body, **fields).encode()


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    traffic=st.lists(
        st.tuples(st.sampled_from([*REPLY_TO]), st.sampled_from([*BODIES, "junk"]), st.booleans()),
        min_size=1,
        max_size=10,
    ),
    view=st.sampled_from([*VIEWS]),
)
def test_every_request_ends_once_whatever_stands_beside_it(traffic: list[tuple[str, str, bool]], view: str) -> None:
    world = World(view)
    for number, (reply, body, keyed) in enumerate(traffic):
        value = b"{" if body == "junk" else request(str(number), **BODIES[body])
        world.ask(value, REPLY_TO[reply], b"k" if keyed else None)
    for name in ("first", "second"):
        world.ask(request(name, category="chat"), ())
    world.run()
    told, journalled = world.told(), world.journalled()
    forwarded = len(world.cluster.records("forwards"))
    assert (journalled["first"], journalled["second"]) == (1, 1)
    for number, (reply, body, _) in enumerate(traffic):
        ends = told[str(number)] + journalled[str(number)]
        if body == "junk":
            continue
        if reply in ("responses", "replies"):
            # One that is refused by `only` is told and recorded.
            assert ends == (2 if body == "only" else 1)
        elif reply not in NEVER_TOLD:
            assert ends >= 1, "a question, or a reason on `responses`"
    assert forwarded <= len(traffic)
    junk = sum(body == "junk" for _, body, _ in traffic)
    assert len(world.cluster.records("dead-letters")) >= junk


def test_a_rejection_that_its_topic_does_not_take_becomes_smaller_or_a_letter() -> None:
    for reply_to, topic in (("tiny", "/tiny"), ("replies", "/replies")):
        world = World()
        world.ask(b'{"request_id": "mine", "body": 1}', REPLY_TO[reply_to], b"k")
        world.run()
        (row,) = world.cluster.records(topic)
        told = Response.decode(row.value or b"")
        assert told.error is not None
        assert (told.request_id, told.error.code) == ("mine", "bad_field")


def test_a_keyless_request_to_a_compacted_reply_topic_is_told_before_a_model_is_called() -> None:
    world = World()
    world.ask(request("mine", category="chat"), REPLY_TO["kept"])
    world.ask(request("keyed", category="chat"), REPLY_TO["kept"], b"k")
    world.run()
    (row,) = world.cluster.records("responses")
    told = Response.decode(row.value or b"")
    assert told.error is not None
    assert (told.request_id, told.error.code) == ("mine", "bad_reply_to")
    assert world.journalled() == Counter({"keyed": 1})


def test_a_journal_that_takes_too_little_stops_the_worker_at_start() -> None:
    world = World()
    world.cluster.configure("journal", max_bytes=1_048_576)
    with pytest.raises(WrongSetup, match=r"max\.message\.bytes of journal 1048576"):
        world.run()


@pytest.mark.parametrize("view", VIEWS)
def test_a_question_that_forwards_does_not_take_is_told(view: str) -> None:
    world = World(view)
    world.cluster.configure("forwards", max_bytes=5_000)
    world.ask(request("mine", "x" * 20_000, cache="bypass"), ())
    world.ask(request("other", cache="bypass"), ())
    world.run()
    assert world.told() == Counter({"mine": 1})
    assert len(world.cluster.records("forwards")) == 1
