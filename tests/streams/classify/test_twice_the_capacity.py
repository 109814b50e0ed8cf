"""A minute of twice as many questions as can be embedded, and then half as many, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytest

from refrain.schemas.control import PolicyInForce
from refrain.schemas.journal import Asked, decode_event
from refrain.schemas.policy import CategoryPolicy, Policy
from refrain.streams.classify.origins import Incarnations
from refrain.streams.classify.reply_topic import ReplyTopics
from refrain.streams.classify.step import ClassifyStep
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.hashing_embedder import HashingEmbedder
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.stateless import run_stateless
from refrain.streams.settings import Classify, Settings
from refrain.streams.vectors import Floats

COST_MS = 50
"""Of a text that is embedded."""
ROUND_MS = 2
"""Of a batch, whatever is in it: to send its outcome."""
CAPACITY = 1_000 / COST_MS
"""Texts a second."""
START_MS = 1_000_000
FALLS_MS = START_MS + 60_000
END_MS = FALLS_MS + 20_000
IN_FORCE = PolicyInForce(version=1, who="w", at_ms=0, policy=Policy(categories={"code": CategoryPolicy()}))


class Asking(NamedTuple):
    """What came of a question: when it arrived, and when it was told to the shard (ms)."""

    arrived_ms: int
    told_ms: int
    passed_by: bool
    tenant: str = "default"

    @property
    def took_ms(self) -> int:
        return self.told_ms - self.arrived_ms


class SlowEmbedder(HashingEmbedder):
    """Takes a fixed time a text, by the clock of the simulation."""

    def __init__(self, spend: Callable[[int], None]) -> None:
        super().__init__()
        self._spend = spend

    def embed(self, texts: Sequence[str]) -> Floats:
        self._spend(COST_MS * len(texts))
        return np.ones((len(texts), self.dim), dtype=np.float32)


class Simulation:
    """A classify worker whose clock is `ahead_ms` ahead of the broker's, and questions that arrive at given times."""

    def __init__(
        self, arrivals: Sequence[int], limits: Classify, ahead_ms: int = 0, tenants: Sequence[str] = ()
    ) -> None:
        """`tenants` are those of the questions, in their order; without them one asks all."""
        self.now_ms = START_MS
        self._tenants = tenants
        self._arrivals = list(arrivals)
        self._arrived = 0
        self._stamp_ms: int | None = None
        self._cluster = MemoryCluster(lambda: self._stamp_ms or self.now_ms, {"requests": 1, "journal": 4})
        self._consumer = self._cluster.consumer("requests", "classify")
        metrics = Metrics()
        self._step = ClassifyStep(
            limits,
            Incarnations("requests-id", "journal-id"),
            EmbeddingCache(SlowEmbedder(self._spend), 100, EmbeddingMetrics(metrics)),
            ReplyTopics("", (), lambda topic: None, lambda: 0),
            metrics,
            clock=lambda: self.now_ms / 1_000,
        )
        self._step.follow(IN_FORCE)
        self._context = WorkerContext(
            Settings(),
            self._cluster,
            metrics,
            stop=self._next_round,
            ready=lambda: None,
            now_ms=lambda: self.now_ms + ahead_ms,
        )
        self._batch_max = limits.batch_max

    def run(self) -> list[Asking]:
        """Run until every question was told to the shard."""
        producer = self._cluster.producer()
        run_stateless("classify", self._consumer, producer, self._step, self._context, batch_max=self._batch_max)
        told = [(record.timestamp_ms, decode_event(record.value or b"")) for record in self._cluster.records("journal")]
        return sorted(
            Asking(self._arrivals[event.origin.offset], at, event.overload, event.tenant)
            for at, event in told
            if isinstance(event, Asked)
        )

    def orders(self) -> list[list[int]]:
        """The offsets of the questions in each shard."""
        found: dict[int, list[int]] = {}
        for record in self._cluster.records("journal"):
            event = decode_event(record.value or b"")
            assert isinstance(event, Asked)
            found.setdefault(record.partition, []).append(event.origin.offset)
        return list(found.values())

    def _spend(self, ms: int) -> None:
        self.now_ms += ms

    def _next_round(self) -> bool:
        """Let time pass until there is something to read; whether all is over."""
        self._spend(ROUND_MS)
        if not any(self._consumer.lag().values()) and self._arrived < len(self._arrivals):
            self.now_ms = max(self.now_ms, self._arrivals[self._arrived])
        while self._arrived < len(self._arrivals) and self._arrivals[self._arrived] <= self.now_ms:
            self._stamp_ms = self._arrivals[self._arrived]
            tenant = self._tenants[self._arrived] if self._tenants else "default"
            self._cluster.append([Outgoing("requests", b"k", question(self._arrived, tenant))])
            self._arrived += 1
        self._stamp_ms = None
        joined = bool(self._consumer.assignment())
        return joined and self._arrived == len(self._arrivals) and not any(self._consumer.lag().values())


def question(number: int, tenant: str) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": f"What is the number {number}?"}]}
    return json.dumps({"v": 1, "tenant": tenant, "category": "code", "body": body}).encode()


def arrivals(until_ms: int, per_s: float, since_ms: int = START_MS) -> list[int]:
    """When questions arrive, evenly."""
    return list(range(since_ms, until_ms, int(1_000 / per_s)))


TWICE_AND_THEN_HALF = arrivals(FALLS_MS, 2 * CAPACITY) + arrivals(END_MS, CAPACITY / 2, FALLS_MS)


def ms_p99(asked: Sequence[Asking]) -> int:
    return sorted(each.took_ms for each in asked)[len(asked) * 99 // 100]


@pytest.mark.parametrize("ahead_ms", [0, 600, -600], ids=lambda ahead: f"clock {ahead} ms ahead")
def test_what_is_looked_up_stays_quick_and_the_rest_passes_by_until_the_load_falls(ahead_ms: int) -> None:
    simulation = Simulation(TWICE_AND_THEN_HALF, Classify(), ahead_ms)
    asked = simulation.run()
    assert [each.arrived_ms for each in asked] == TWICE_AND_THEN_HALF, "each is told once"
    looked_up = [each for each in asked if not each.passed_by]
    assert ms_p99(looked_up) < 1_000
    assert ms_p99(asked) < 1_000, "what passes by waits no longer"
    under_load = [each for each in looked_up if START_MS <= each.told_ms < FALLS_MS]
    assert len(under_load) >= 0.8 * CAPACITY * (FALLS_MS - START_MS) / 1_000
    assert not any(each.passed_by for each in asked if each.arrived_ms >= FALLS_MS + 10_000)
    assert all(order == sorted(order) for order in simulation.orders())


@pytest.mark.parametrize("ahead_ms", [0, 600], ids=lambda ahead: f"clock {ahead} ms ahead")
@pytest.mark.parametrize("starts_ms", [START_MS + 30_000, FALLS_MS], ids=["under load", "when the load falls"])
def test_a_worker_that_starts_behind_many_questions_catches_up(starts_ms: int, ahead_ms: int) -> None:
    simulation = Simulation(TWICE_AND_THEN_HALF, Classify(), ahead_ms)
    simulation.now_ms = starts_ms
    asked = simulation.run()
    assert ms_p99([each for each in asked if each.arrived_ms >= starts_ms + 5_000]) < 1_000
    assert not any(each.passed_by for each in asked if each.arrived_ms >= FALLS_MS + 10_000)


def test_within_its_capacity_nothing_passes_by() -> None:
    asked = Simulation(arrivals(START_MS + 30_000, 0.9 * CAPACITY), Classify()).run()
    assert not any(each.passed_by for each in asked)
    assert ms_p99(asked) < 500


def test_without_a_limit_everybody_waits() -> None:
    asked = Simulation(TWICE_AND_THEN_HALF, Classify(wait_max_ms=0)).run()
    assert not any(each.passed_by for each in asked)
    assert ms_p99(asked) > 10_000
