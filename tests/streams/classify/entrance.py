"""A classifier with all that belongs to it, requests for it, and what comes out."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refrain.schemas.control import PolicyInForce
from refrain.schemas.dead_letters import HEADER_REASON
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Asked, Passed, decode_event
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy
from refrain.schemas.policy_limits import Limits
from refrain.schemas.policy_rules import Match, Rule
from refrain.schemas.responses import Response
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.kafka.interface import Headers, Outgoing, Record
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.settings import Classify
from refrain.streams.vectors import Floats

NOW_MS = 1_000_000
SECRET = "my secret diagnosis"
POLICY = Policy(
    categories={
        "code": CategoryPolicy(threshold=0.9, examples=("How do I sort a list in Python?",)),
        "shared": CategoryPolicy(scope="shared", slices=4),
        "watched": CategoryPolicy(cache=Cacheable.OBSERVE),
        "medical": CategoryPolicy(cache=Cacheable.NEVER),
        "uncategorised": CategoryPolicy(),
    },
    rules=(Rule(when=Match(pattern="diagnosis"), category="medical"), Rule(when=Match(tag="s"), category="shared")),
    limits=Limits(answer_timeout_ms=60_000),
)
OPEN = Policy(categories={"chat": CategoryPolicy()})
NO_NEVER = POLICY.model_copy(
    update={
        "categories": {name: of for name, of in POLICY.categories.items() if name != "medical"},
        "rules": POLICY.rules[1:],
    }
)
BY_EXAMPLE = Policy(
    categories={
        "medical": CategoryPolicy(cache=Cacheable.NEVER, examples=("Which pills help against fever?",)),
        "uncategorised": CategoryPolicy(),
    }
)
LIMITS = Classify(
    question_chars_max=1_000, request_bytes_max=900_000, header_bytes_max=500, depth_max=16, reply_topics=("team.*",)
)


class Embedder(HashingEmbedder):
    """The free one; counts calls, has a window of 300 characters, and no vector for a text with `bad`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.fails: Exception | None = None
        self.head_fails: Exception | None = None

    def embed(self, texts: Sequence[str]) -> Floats:
        if self.fails is not None:
            raise self.fails
        self.calls.append(list(texts))
        rows = super().embed(texts)
        for number, text in enumerate(texts):
            if "bad" in text:
                rows[number] = np.nan
        return rows

    def fits(self, text: str) -> bool:
        return len(text) <= 300

    def head(self, text: str) -> str:
        if self.head_fails is not None:
            raise self.head_fails
        return text[:300]


class Entrance:
    """A classifier with all that belongs to it."""

    def __init__(
        self,
        policy: Policy | None = POLICY,
        limits: Classify = LIMITS,
        partitions: Callable[[str], int | None] = {"responses": 8, "/team.replies": 2}.get,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.embedder = Embedder()
        self.metrics = Metrics()
        self.remembering = EmbeddingCache(self.embedder, 100, EmbeddingMetrics(self.metrics))
        self.in_force = None if policy is None else PolicyInForce(version=4, who="w", at_ms=0, policy=policy)
        self.classifier = ClassifyStep(
            limits,
            Incarnations("requests-id", "journal-id"),
            self.remembering,
            ReplyTopics("refrain.", limits.reply_topics, partitions, lambda: 0),
            self.metrics,
            clock=clock,
        )

    def __call__(self, *records: Record) -> list[Outgoing]:
        self.classifier.follow(self.in_force)
        return self.classifier.process(records)


def record(value: bytes | None, offset: int = 0, headers: Headers = (), key: bytes | None = b"k") -> Record:
    """A record of the request topic."""
    return Record("requests", 2, offset, NOW_MS, key, value, headers)


def ask(text: Any = "What is a list?", offset: int = 0, headers: Headers = (), **fields: Any) -> Record:
    """A request with this question, and other fields of it."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}], **fields.pop("body", {})}
    message = {"v": 1, "request_id": f"r{offset}", "body": body, **fields}
    return record(json.dumps(message).encode(), offset, headers)


def asked_of(out: Sequence[Outgoing]) -> Asked:
    """The only thing that came out: what a shard is asked."""
    (only,) = out
    assert only.topic == "journal"
    event = decode_event(only.value or b"")
    assert isinstance(event, Asked)
    return event


def passed_of(out: Sequence[Outgoing]) -> tuple[Forward, Passed]:
    """What came out of a question that passes by: the forward, and what the journal keeps of it."""
    first, second = out
    assert (first.topic, second.topic) == ("forwards", "journal")
    event = decode_event(second.value or b"")
    assert isinstance(event, Passed)
    return Forward.decode(first.value or b""), event


def refused_of(out: Sequence[Outgoing]) -> tuple[Outgoing, Response]:
    """What came out of a refused request: its dead letter, and its response."""
    letter, answer = out
    assert letter.topic == "dead-letters"
    return letter, Response.decode(answer.value or b"")


def reason_of(letter: Outgoing) -> str:
    """Why it is a dead letter."""
    return (dict(letter.headers)[HEADER_REASON] or b"").decode()


def text_in(out: Sequence[Outgoing], text: str) -> set[str]:
    """The topics in which the text stands, in plain or in base64."""
    forms = {text.encode()}
    for pad in range(3):
        coded = base64.b64encode(b"x" * pad + text.encode() + b"xx")
        forms.add(coded[4:-4])
    wholes = [(o.topic, b"|".join([o.key or b"", o.value or b"", *(v or b"" for _, v in o.headers)])) for o in out]
    return {topic for topic, whole in wholes if any(form in whole for form in forms)}
