"""Builds journal records for tests: the fields that a test sets, and plausible values for the rest."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from refrain.schemas.base import Message, Reply, Sealed
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import Answered, AnswerFailed, Asked, Origin, PolicySet, Seen, Tick
from refrain.schemas.policy import Cacheable, CategoryPolicy, Policy, Quota
from refrain.schemas.policy_limits import Limits
from refrain.schemas.requests import CacheMode
from refrain.schemas.responses import Problem, Response
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.ids import decision_id, decision_tag
from refrain.streams.shard.fold import fold
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.memory import MemoryStore
from refrain.streams.vectors import encode, quantise

JOURNAL_ID = "-_journal--id_"
REQUESTS_ID = "_-requests-/0-id-"
TAG = decision_tag(REQUESTS_ID, JOURNAL_ID)
DIM = 16


def policy(**category: Any) -> Policy:
    """A policy with the categories `code` (as given), `secret` (never) and small limits.

    Without guards, unless they are given: most tests speak of vectors and not of words.
    """
    limits, heads = category.pop("limits", {}), category.pop("hit_heads", ())
    tenants = category.pop("tenants", {})
    return Policy(
        categories={
            "code": CategoryPolicy(**{"threshold": 0.9, "guards": (), "quota": Quota(cap=1_000), **category}),
            "secret": CategoryPolicy(cache=Cacheable.NEVER),
        },
        limits=Limits(**{"answer_timeout_ms": 10_000, **limits}),
        tenants=tenants,
        hit_heads=heads,
    )


def vector(*numbers: float) -> str:
    """A vector of record whose first coordinates are given."""
    full = np.zeros(DIM)
    full[: len(numbers)] = numbers
    return encode(quantise(full))


def near(similarity: float) -> str:
    """A vector at that cosine to `vector(1)`."""
    return vector(similarity, float(np.sqrt(1 - similarity**2)))


class Journal:
    """Makes the records of one partition, in order, at times that the test sets."""

    def __init__(self, partition: int = 0) -> None:
        self.partition = partition
        self.records: list[Record] = []
        self.time_ms = 1_000_000
        self._requests = itertools.count()

    def add(self, message: Message | bytes, after_ms: int = 1) -> Record:
        """Append a message that comes `after_ms` after the one before."""
        self.time_ms += after_ms
        value = message if isinstance(message, bytes) else message.encode()
        record = Record("journal", self.partition, len(self.records), self.time_ms, None, value)
        self.records.append(record)
        return record

    def policy(self, version: int = 0, **category: Any) -> Record:
        """A policy comes into force."""
        return self.add(PolicySet(version=version, policy=policy(**category)))

    def ask(self, text: str, vector: str | None, after_ms: int = 1, **fields: Any) -> Record:
        """A question is asked."""
        offset = fields.pop("offset", None)
        offset = next(self._requests) if offset is None else offset
        threshold = fields.pop("seen_threshold", 0.9)
        version = fields.pop("seen_version", 0)
        question = {
            "id": decision_id(0, offset, TAG),
            "origin": Origin(topic="requests", topic_id=REQUESTS_ID, partition=0, offset=offset),
            "request_id": f"r{offset}",
            "tenant": "acme",
            "space": "acme",
            "category": "code",
            "classifier": "request",
            "mode": CacheMode.USE,
            "model": "m",
            "embedder": "test",
            "context": "c0",
            "fields": {"messages[0]": "aa"},
            "text_digest": hashlib.sha256(text.encode()).hexdigest()[:32],
            "vector": vector,
            "question": Sealed(data=text),
            "body": Sealed(data=json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})),
            "reply": Reply(topic="responses", key=base64.b64encode(b"k").decode()),
            "seen": Seen(policy_version=version, cache=Cacheable.ALLOW, threshold=threshold, ttl_ms=86_400_000),
        }
        return self.add(Asked(**{**question, **fields}), after_ms)

    def answer(self, forward_id: str, text: str = "an answer", after_ms: int = 1, **body: Any) -> Record:
        """The model answers."""
        message = {"role": "assistant", "content": text, **body.pop("message", {})}
        whole = {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": body.pop("finish_reason", "stop")}],
            **body,
        }
        return self.add(Answered(forward_id=forward_id, body=Sealed(data=json.dumps(whole))), after_ms)

    def fail(self, forward_id: str, after_ms: int = 1) -> Record:
        """The model fails."""
        error = Problem(code="upstream_failed", message="no")
        return self.add(AnswerFailed(forward_id=forward_id, error=error), after_ms)

    def tick(self, after_ms: int = 1) -> Record:
        """Time passes."""
        return self.add(Tick(), after_ms)


def new_shard(partition: int = 0) -> Shard:
    """An empty shard over an empty store."""
    return Shard(partition, 32, JOURNAL_ID, MemoryStore())


def fold_all(shard: Shard, records: Iterable[Record]) -> list[FoldResult]:
    """Fold records one after another."""
    return [fold(shard, record) for record in records]


def responses(folded: FoldResult | Iterable[FoldResult]) -> list[Response]:
    """The responses among the effects."""
    return [Response.decode(each.value or b"") for each in effects(folded, "responses")]


def effects(folded: FoldResult | Iterable[FoldResult], topic: str) -> list[Outgoing]:
    """The effects on a topic."""
    several: Iterable[FoldResult] = [folded] if isinstance(folded, FoldResult) else folded
    return [effect for each in several for effect in each.effects if effect.topic == topic]


def decisions(folded: Iterable[FoldResult]) -> Iterator[Decision]:
    """All decisions."""
    return (decision for each in folded for decision in each.decisions)


def forward_id(folded: FoldResult) -> str:
    """The id of the one forward among the effects."""
    (only,) = effects(folded, "forwards")
    return (only.key or b"").decode()


def ready(journal: Journal, **category: Any) -> Shard:
    """A shard with a policy."""
    shard = new_shard()
    fold(shard, journal.policy(**category))
    return shard


def remembered(journal: Journal, shard: Shard, text: str, vector: str | None, **fields: Any) -> None:
    """Ask a question and answer it, so that the shard stores the answer."""
    asked = fold(shard, journal.ask(text, vector, **fields))
    fold(shard, journal.answer(forward_id(asked), f"the answer to {text}"))
