"""Replies that cannot be sent, among traffic that is well: good questions are answered once, and the worker lives."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refrain.schemas.base import Header, Reply
from refrain.schemas.dead_letters import NotSent
from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.responses import Outcome, Response
from refrain.schemas.topics import BY_NAME
from refrain.streams.kafka.interface import Cluster
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.lookup.worker import LookupWorker
from tests.streams.lookup.stage import Stage
from tests.streams.messaging.test_sending import Silent, Stale
from tests.streams.shard.journal import Journal, vector

KEY = base64.b64encode(b"k").decode()
LARGE = base64.b64encode(b"x" * 900_000).decode()
BAD: Mapping[str, Reply] = {
    "a topic that is gone": Reply(topic="/gone", key=KEY),
    "a compacted topic, and no key": Reply(topic="/kept"),
    "a topic of 250 bytes": Reply(topic="/tiny", key=KEY),
    "partition 4711": Reply(topic="/replies", key=KEY, partition=4711),
    "partition 4711 of responses": Reply(topic="responses", key=KEY, partition=4711),
    "no topic's name": Reply(topic="/..", key=KEY),
    "an own topic": Reply(topic="/refrain.policies", key=KEY),
    "a topic of a tenant's requests": Reply(topic="/refrain.requests.acme", key=KEY),
    "a topic of the broker": Reply(topic="/__consumer_offsets", key=KEY),
}
"""Replies that nothing can be sent to; those below reach the requester in some form."""
ODD: Mapping[str, Reply] = {
    "a key that is no base64": Reply(topic="/replies", key="no base64!"),
    "a key of other letters": Reply(topic="/replies", key="ä"),
    "a header that is no base64": Reply(topic="/replies", key=KEY, headers=(Header(name="h", value="?"),)),
    "a huge header": Reply(topic="/replies", key=KEY, headers=(Header(name="h", value=LARGE),)),
    "many headers": Reply(topic="/replies", key=KEY, headers=(Header(name=""),) * 60_000),
    "a key for a compacted topic": Reply(topic="/kept", key=KEY),
}
GOOD: Mapping[str, Reply] = {
    "responses": Reply(topic="responses", key=KEY),
    "replies": Reply(topic="/replies", key=KEY),
}
VIEWS: Mapping[str, Callable[[MemoryCluster], Cluster]] = {
    "known": lambda inner: inner,
    "silent": lambda inner: Silent(inner, answers=1),
    "stale": Stale,
}
"""What the worker is told of topics; when it starts it is told."""


class World:
    """A worker and its cluster; questions by what is to become of them."""

    def __init__(self, view: str = "known") -> None:
        self.stage = Stage()
        cluster = self.stage.cluster
        cluster.create("/replies", 2, 500_000)
        cluster.create("/kept", 1, compacted=True)
        cluster.create("/tiny", 1, 250)
        for topic in set(BY_NAME) - {"requests", "completions", "load", "comparisons"}:
            if not cluster.targets([topic]):
                cluster.create(topic, 1)
        self.journal = Journal()
        self.journal.policy(limits={"answer_timeout_ms": 1_000})
        self.view = VIEWS[view](cluster)
        self.numbers = iter(range(10_000))

    def ask(self, reply: Reply, end: str) -> str:
        """A question, and how it ends: with an answer, a failure, or a timeout. Returns its id."""
        number = next(self.numbers)
        row = self.journal.ask(
            f"question {number}", vector(*[0.0] * (number % 16), 1.0), reply=reply, context=str(number)
        )
        id_: str = json.loads(row.value or b"")["id"]
        if end == "answer":
            self.journal.answer(id_, "x" * 300)
        elif end == "large answer":
            self.journal.answer(id_, "x" * 880_000)
        elif end == "failure":
            self.journal.fail(id_)
        return id_

    def run(self, for_ms: int = 10_000) -> LookupWorker:
        """Fold all for so long, by which time all that is left has timed out."""
        self.stage.journal(self.journal)
        self.journal.records.clear()
        worker = self.stage.worker(cluster=self.view)
        end_ms = self.stage.clock.now_ms + for_ms
        while self.stage.clock.now_ms < end_ms:
            if worker.turn(0) == 0 and worker.ready:
                self.stage.clock.now_ms += 250
        worker.commit()
        return worker

    def told(self) -> Counter[str]:
        """How often each decision was told, on any topic that responses may go to."""
        rows = [
            row for topic in ("responses", "/replies", "/kept", "/tiny") for row in self.stage.cluster.records(topic)
        ]
        told = (Response.decode(row.value or b"") for row in rows)
        return Counter(each.decision.id for each in told if each.decision is not None)


ENDS = ("answer", "large answer", "failure", "timeout")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", [*BAD, *ODD])
def test_a_reply_that_cannot_be_sent_costs_that_reply(name: str, end: str, view: str) -> None:
    world = World(view)
    before = world.ask(GOOD["responses"], end)
    bad = world.ask(({**BAD, **ODD})[name], end)
    after = world.ask(GOOD["replies"], end)
    world.run()
    told = world.told()
    assert (told[before], told[after]) == (1, 1)
    letters = [NotSent.decode(row.value or b"") for row in world.stage.cluster.records("dead-letters")]
    assert told[bad] == (1 if name in ODD else 0)
    brief = world.stage.cluster.records("/tiny")
    assert len(letters) + len(brief) == (0 if name in ODD else 1)
    assert all(
        letter.id == bad or (letter.id, name, view) == (None, "a topic of 250 bytes", "silent") for letter in letters
    )
    for topic in ("control", "policies"):
        assert world.stage.cluster.records(topic) == []
    assert sorted(world.stage.decisions()) == sorted([before, bad, after])


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    traffic=st.lists(
        st.tuples(st.sampled_from([*GOOD, *GOOD, *GOOD, *BAD, *ODD]), st.sampled_from(ENDS)), min_size=1, max_size=12
    ),
    view=st.sampled_from([*VIEWS]),
)
def test_every_good_question_is_answered_once_whatever_else_is_asked(traffic: list[tuple[str, str]], view: str) -> None:
    world = World(view)
    asked = [(name, world.ask({**GOOD, **BAD, **ODD}[name], end)) for name, end in traffic]
    worker = world.run()
    told = world.told()
    assert [told[id_] for name, id_ in asked if name not in BAD] == [1] * sum(name not in BAD for name, _ in asked)
    assert sorted(world.stage.decisions()) == sorted(id_ for _, id_ in asked)
    assert worker.ready
    worker.close()


def test_a_decision_that_is_too_large_is_recorded_without_what_explains_it() -> None:
    world = World()
    kept = world.journal.ask("how", vector(1), reply=GOOD["responses"])
    world.journal.answer(json.loads(kept.value or b"")["id"])
    fields = {"x" * 1_200_000: "bb"}
    row = world.journal.ask("how", vector(1), context="c1", fields=fields, reply=GOOD["responses"])
    other = world.ask(GOOD["responses"], "answer")
    world.run()
    _, large, last = (Decision.decode(kept.value or b"") for kept in world.stage.cluster.records("decisions"))
    assert (large.id, last.id) == (json.loads(row.value or b"")["id"], other)
    assert (large.differs, large.reason) == ((), Reason.CONTEXT_DIFFERS)


def test_a_forward_that_nobody_takes_ends_in_an_error_for_its_requester() -> None:
    world = World()
    id_ = world.ask(GOOD["responses"], "timeout")
    world.stage.cluster.configure("forwards", max_bytes=300)
    world.run(for_ms=500)
    (told,) = (Response.decode(row.value or b"") for row in world.stage.cluster.records("responses"))
    assert told.error is not None
    assert told.decision is not None
    assert (told.outcome, told.error.code, told.decision.id) == (Outcome.ERROR, "too_large", id_)


@pytest.mark.parametrize("view", VIEWS)
def test_without_forwards_everybody_is_told_and_the_worker_goes_on_when_they_are_back(view: str) -> None:
    world = World(view)
    world.ask(GOOD["responses"], "timeout")
    world.stage.journal(world.journal)
    worker = world.stage.worker(cluster=world.view)
    world.stage.cluster.delete("forwards")
    world.stage.run(worker)
    (told,) = (Response.decode(row.value or b"") for row in world.stage.cluster.records("responses"))
    assert told.error is not None
    assert told.error.code == "not_sent"


def test_what_documents_does_not_take_is_passed_through_and_not_remembered() -> None:
    world = World()
    # Escaped, they take six bytes each: the record fits `journal`, and what would be remembered not `documents`.
    row = world.journal.ask("how", vector(1), question={"data": "\x01" * 333_400}, reply=GOOD["responses"])
    again = world.journal.ask("how", vector(1), reply=GOOD["responses"])
    world.run()
    first, second = (Decision.decode(kept.value or b"") for kept in world.stage.cluster.records("decisions"))
    assert (first.id, first.outcome, first.reason) == (
        json.loads(row.value or b"")["id"],
        Outcome.BYPASS,
        Reason.TOO_LARGE,
    )
    assert (second.id, second.outcome) == (json.loads(again.value or b"")["id"], Outcome.MISS)
    assert len(world.stage.cluster.records("forwards")) == 2


def test_no_document_is_larger_than_its_bound_whatever_the_policy_allows() -> None:
    world = World()
    world.journal = Journal()
    world.journal.policy(limits={"entry_bytes_max": 50_000_000, "response_bytes_max": 50_000_000})
    # Of 700 kB of quotation marks, twice escaped, are 2.8 MB.
    row = world.journal.ask("how", vector(1), reply=GOOD["responses"])
    world.journal.answer(json.loads(row.value or b"")["id"], '"' * 500_000)
    world.ask(GOOD["responses"], "answer")
    world.run()
    sizes = [len(kept.value or b"") for kept in world.stage.cluster.records("documents")]
    assert max(sizes) <= 2_000_000
    kept = {key for key in world.stage.documents(0) if key.startswith(b"entries/")}
    assert len(kept) == 1, "the large answer was delivered, and is not kept"
    assert sum(world.told().values()) == 2


def test_a_waiting_request_that_was_kept_with_an_odd_reply_gives_up_in_order() -> None:
    world = World()
    replies = [*BAD.values(), GOOD["responses"], *ODD.values()]
    ids = [world.ask(reply, "timeout") for reply in replies]
    world.run(for_ms=500).close()
    assert world.told() == Counter()
    second = world.run()
    told = world.told()
    assert [told[id_] for id_ in ids] == [0] * len(BAD) + [1] * (1 + len(ODD))
    assert second.ready
