"""Two users of one tenant, from request to decision: classify and the fold of a shard, by the shipped policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.policies.file import read_policy
from refrain.schemas.base import Sealed
from refrain.schemas.control import PolicyInForce
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import Answered, Asked, PolicySet, decode_event
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.kafka.interface import Record
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.settings import Classify
from refrain.streams.shard.fold import fold
from refrain.streams.shard.state import Shard
from refrain.streams.store.memory import MemoryStore

FILE = Path(__file__).resolve().parents[4] / "infra" / "policies" / "default.yaml"
SHIPPED = read_policy(FILE.read_text(encoding="utf-8"), FILE.name)
HOUR_MS = 3_600_000


class Service:
    """classify and one shard, under one policy; the model answers at once."""

    def __init__(self, policy: Policy = SHIPPED) -> None:
        metrics = Metrics()
        cache = EmbeddingCache(HashingEmbedder(), 100, EmbeddingMetrics(metrics))
        replies = ReplyTopics("refrain.", (), lambda _topic: 1, lambda: 0)
        self.classify = ClassifyStep(Classify(), Incarnations("requests-id", "journal-id"), cache, replies, metrics)
        self.classify.follow(PolicyInForce(version=0, who="w", at_ms=0, policy=policy))
        self.shard = Shard(0, 1, "journal-id", MemoryStore())
        self.requests, self.folded, self.time_ms = 0, 0, 1_000_000
        self._fold(PolicySet(version=0, policy=policy).encode())

    def asked(self, text: str, **fields: Any) -> Asked:
        """What classify tells the shard."""
        body = {"model": "m", **fields.pop("body", {})}
        messages = [*fields.pop("earlier", []), {"role": "user", "content": text}]
        request = {"v": 1, "category": "chat", **fields, "body": {**body, "messages": messages}}
        record = Record("requests", 0, self.requests, self.time_ms, None, json.dumps(request).encode())
        self.requests += 1
        (out,) = self.classify.process([record])
        event = decode_event(out.value or b"")
        assert isinstance(event, Asked)
        return event

    def ask(self, text: str, after_ms: int = 1, **fields: Any) -> Decision:
        """The decision on a question, whose answer comes at once where the shard waits for it."""
        self.time_ms += after_ms
        (decision,) = self._fold(self.asked(text, **fields).encode())
        if decision.forward_id is not None and self.shard.flights.get(decision.forward_id) is not None:
            message = {"role": "assistant", "content": f"answer {self.folded}"}
            answer = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
            self._fold(Answered(forward_id=decision.forward_id, body=Sealed(data=json.dumps(answer))).encode())
        return decision

    def _fold(self, value: bytes) -> list[Decision]:
        record = Record("journal", 0, self.folded, self.time_ms, None, value)
        self.folded += 1
        return fold(self.shard, record).decisions


def said(decision: Decision) -> str:
    return f"{decision.outcome} {decision.reason}"


def test_without_a_name_nobody_gets_the_answer_of_another() -> None:
    service = Service()
    assert [said(service.ask("What is my balance?")) for _ in range(2)] == ["bypass personal"] * 2


def test_with_a_name_each_gets_their_own() -> None:
    service = Service()
    users = ("ann", "ben", "ann", "ben")
    asked = [service.ask("What is my balance?", body={"user": user}) for user in users]
    assert [each.outcome for each in asked] == ["miss", "miss", "hit", "hit"]
    assert asked[2].answer != asked[3].answer


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"vary": {"user": 1}}, {"vary": {"user": 2}}),
        (
            {"earlier": [{"role": "user", "content": "I am customer 1."}, {"role": "assistant", "content": "Hi."}]},
            {"earlier": [{"role": "user", "content": "I am customer 2."}, {"role": "assistant", "content": "Hi."}]},
        ),
    ],
)
def test_what_else_names_them_keeps_them_apart_as_well(first: dict[str, Any], second: dict[str, Any]) -> None:
    service = Service()
    outcomes = [service.ask("Where is my order?", **dict(who)).outcome for who in (first, second, first)]
    assert outcomes == ["miss", "miss", "hit"]


def test_a_general_question_is_shared_as_ever() -> None:
    service = Service()
    outcomes = [service.ask("How do I change my password?").outcome for _ in range(2)]
    assert outcomes == ["miss", "hit"]


def test_what_depends_on_now_is_asked_anew_or_lives_for_its_shorter_time() -> None:
    service = Service()
    assert said(service.ask("What time is it?")) == "bypass volatile"
    latest = "What is the latest version of Python?"
    assert service.ask(latest, category="docs").outcome == "miss"
    assert service.ask(latest, category="docs").outcome == "hit"
    assert said(service.ask(latest, category="docs", after_ms=HOUR_MS + 1)) == "miss expired"


def test_a_tool_result_is_no_wording_of_the_user() -> None:
    service = Service()
    call = {"id": "1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    earlier = [{"role": "user", "content": "What time is it?"}, {"role": "assistant", "tool_calls": [call]}]
    body = {"model": "m", "messages": [*earlier, {"role": "tool", "tool_call_id": "1", "content": "today is Monday"}]}
    record = Record("requests", 0, 0, 1, None, json.dumps({"v": 1, "category": "chat", "body": body}).encode())
    (out,) = service.classify.process([record])
    event = decode_event(out.value or b"")
    assert isinstance(event, Asked)
    assert event.depends is not None
    assert event.depends.volatile == ()


def test_a_shared_category_keeps_personal_answers_within_their_tenant() -> None:
    shared = CategoryPolicy.model_validate({"scope": "shared", "personal": {"require": ["user"]}})
    service = Service(Policy(categories={"chat": shared}))
    mine = {"user": "u-1"}
    assert service.asked("What is my balance?", tenant="a", body=mine).space == "a"
    assert service.asked("How do I check my balance?", tenant="a", body=mine).space == "*"
    service.ask("What is my balance?", tenant="a", body=mine)
    assert service.ask("What is my balance?", tenant="b", body=mine).outcome == "miss"


def test_a_name_that_the_category_leaves_out_counts_for_nothing() -> None:
    plain = CategoryPolicy.model_validate({"leave_out": ["user"], "personal": {"require": ["user"]}})
    service = Service(Policy(categories={"chat": plain}))
    assert said(service.ask("What is my balance?", body={"user": "u-1"})) == "bypass personal"


def test_a_volatile_question_is_never_the_same_as_one_that_is_not() -> None:
    short = CategoryPolicy.model_validate({"volatile": {"ttl_ms": 1_000}})
    apart, alike = Service(Policy(categories={"chat": short})), Service(Policy(categories={"chat": CategoryPolicy()}))
    texts = ("What is the latest version of Python?", "How do I install Python?")
    assert len({apart.asked(text).context for text in texts}) == 2
    assert len({alike.asked(text).context for text in texts}) == 1
