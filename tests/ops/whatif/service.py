"""A service in memory, run by a script under one policy: classify, the lookup worker, and a model that answers by text.

The same script runs under any policy, so that a what-if can be held against what really comes of it.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from refrain.schemas.base import Sealed
from refrain.schemas.control import Command, PolicyInForce, SetPolicy
from refrain.schemas.decisions import Decision
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Answered, AnswerFailed
from refrain.schemas.policy import Policy
from refrain.schemas.responses import Outcome, Problem
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.govern.commands import decide
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.messaging.ids import parse_entry_id
from refrain.streams.messaging.routes import ShardRoute
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.settings import Classify
from tests.streams.lookup.stage import NEVER_MS, Stage
from tests.streams.signed import ROUTES

LATENCY_MS = 701
"""What the model takes: no answer comes at the time of a question."""


class Ask(NamedTuple):
    """A request of a script."""

    at_ms: int
    text: str
    category: str | None = None
    fields: Mapping[str, Any] = {}
    body: Mapping[str, Any] = {}
    earlier: Sequence[Mapping[str, Any]] = ()


class Give(NamedTuple):
    """A command of a script; `judges` is the number of the request whose decision it is of."""

    at_ms: int
    command: Command
    judges: int | None = None


class Given(NamedTuple):
    """What a request got: the decision without its places, and whose answer a hit served."""

    outcome: str
    category: str | None
    similarity: float | None
    stale: bool
    source: str | None


class Service:
    """A service under one policy."""

    def __init__(self, policy: Policy, *, repeats: bool = False, moody: bool = False) -> None:
        """`repeats`: classify sends everything twice, as after a crash. `moody`: the model fails and breaks off."""
        self.policy = policy
        self._repeats = repeats
        self._moody = moody
        self.stage = Stage()
        self._worker = self.stage.worker(NEVER_MS)
        self._classify = classify_step()
        self._in_force: PolicyInForce | None = None
        self._control = itertools.count()
        self._requests = itertools.count()
        self._answered = 0
        self._due: list[tuple[int, int, Outgoing]] = []
        self._number = itertools.count()
        self.ids: list[str] = []

    @property
    def cluster(self) -> MemoryCluster:
        return self.stage.cluster

    def run(self, script: Sequence[Ask | Give]) -> Service:
        """Run the script, and wait for the last answers."""
        self.stage.clock.now_ms = script[0].at_ms
        self._give(SetPolicy(who="w", policy=self.policy))
        for each in sorted(script, key=lambda one: one.at_ms):
            self._until(each.at_ms)
            if isinstance(each, Ask):
                self._ask(each)
            else:
                judged = None if each.judges is None else self.decisions()[self.ids[each.judges]]
                command = each.command
                if judged is not None:
                    command = command.model_copy(update={"decision_id": judged.id})
                self._give(command, judged)
        self._until(script[-1].at_ms + 10 * LATENCY_MS)
        self._worker.close()
        return self

    def decisions(self) -> dict[str, Decision]:
        """By their ids."""
        found = (Decision.decode(record.value or b"") for record in self.cluster.records("decisions"))
        return {each.id: each for each in found}

    def given(self) -> dict[str, Given]:
        """What each request got, by the id of its decision."""
        return {id_: given(each, self.source(each)) for id_, each in self.decisions().items()}

    def source(self, decision: Decision) -> str | None:
        """The forward that brought the entry of a hit."""
        if decision.outcome.value != "hit" or decision.entry_id is None:
            return None
        place = parse_entry_id(decision.entry_id)
        assert place is not None
        record = self.cluster.topic("journal").records[place.partition][place.offset]
        return Answered.decode(record.value or b"").forward_id

    def _ask(self, ask: Ask) -> None:
        messages = [*ask.earlier, {"role": "user", "content": ask.text}]
        request = {"v": 1, "category": ask.category, **ask.fields}
        value = json.dumps({**request, "body": {"model": "m", **ask.body, "messages": messages}}).encode()
        record = Record("requests", 0, next(self._requests), self.stage.clock.now_ms, None, value)
        out = self._classify.process([record])
        self.cluster.append([ROUTES.sign_forward(each) if each.topic == "forwards" else each for each in out])
        if self._repeats:
            self.cluster.append([each for each in out if each.topic == "journal"])
        self.ids += [json.loads(each.value or b"")["id"] for each in out if each.topic == "journal"]
        self._work()

    def _give(self, command: Command, judged: Decision | None = None) -> None:
        record = Record("control", 0, next(self._control), self.stage.clock.now_ms, None, command.encode())
        out, after = decide(record, self._in_force, 2, judged)
        assert not [each for each in out if each.topic == "dead-letters"]
        self.cluster.append([each for each in out if each.topic == "journal"])
        if after is not self._in_force:
            self._in_force = after
            self._classify.follow(after)
        self._work()

    def _until(self, time_ms: int) -> None:
        """Let time pass: answers come when they are due, and timers fire."""
        while self._due and self._due[0][0] <= time_ms:
            due_ms, _, answer = heapq.heappop(self._due)
            self.stage.clock.now_ms = due_ms
            self.cluster.append([answer])
            self._work()
        self.stage.clock.now_ms = time_ms

    def _work(self) -> None:
        self.stage.run(self._worker)
        forwards = self.cluster.topic("forwards").records[0]
        for record in forwards[self._answered :]:
            forward = Forward.decode(record.value or b"")
            route = ROUTES.open(forward.route, forward.forward_id)
            if isinstance(route, ShardRoute):
                due_ms = self.stage.clock.now_ms + LATENCY_MS
                heapq.heappush(self._due, (due_ms, next(self._number), answer_of(forward, route, moody=self._moody)))
        self._answered = len(forwards)


def classify_step() -> ClassifyStep:
    """A classify that embeds by hashing."""
    metrics = Metrics()
    cache = EmbeddingCache(HashingEmbedder(), 10_000, EmbeddingMetrics(metrics))
    replies = ReplyTopics("refrain.", (), lambda _topic: 1, lambda: 0)
    return ClassifyStep(Classify(), Incarnations("requests-id", "journal-id"), cache, replies, metrics)


def answer_text(text: str) -> str:
    """The answer to a text. All are of one size: eviction goes by it, and that of an assumed answer is not known."""
    return hashlib.sha256(text.encode()).hexdigest()


def answer_of(forward: Forward, route: ShardRoute, *, moody: bool) -> Outgoing:
    """The answer of the model, which says the same to the same text; a moody one fails at some."""
    text = forward.body["messages"][-1]["content"]
    if moody and "offset" in text:
        failed = AnswerFailed(forward_id=forward.forward_id, error=Problem(code="upstream_failed", message="no"))
        return Outgoing("journal", None, failed.encode(), (), route.partition)
    finish = "length" if moody and "graph" in text else "stop"
    message = {"role": "assistant", "content": f"the answer is {answer_text(text)}"}
    body = {
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
    }
    event = Answered(forward_id=forward.forward_id, body=Sealed(data=json.dumps(body)), latency_ms=700)
    return Outgoing("journal", None, event.encode(), (), route.partition)


def given(decision: Decision, source: str | None) -> Given:
    """What a decision gave. Of a miss not how near it was: that depends on when a tick swept what had expired."""
    similarity = decision.similarity if decision.outcome is Outcome.HIT else None
    return Given(decision.outcome.value, decision.category, similarity, decision.stale, source)
