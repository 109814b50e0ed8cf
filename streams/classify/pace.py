"""Pace: how many questions are taken at once, and which have waited too long for a vector.

When questions come faster than they are embedded, those that waited longer than `classify.wait_max_ms` get no vector,
until the queue is half as long: those behind them are looked up in time. They are those of the tenants that want more
than their fair share; the late questions of others get theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram

from refrain.streams.classify.batch_size import BatchSize
from refrain.streams.classify.fair_share import FairShare
from refrain.streams.classify.lateness import Lateness, Place
from refrain.streams.classify.queue_wait import QueueWaits
from refrain.streams.kafka.interface import Record
from refrain.streams.metrics import SECONDS, Metrics
from refrain.streams.settings import Classify

TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
"""Buckets of texts that are embedded together."""
SPARED_MAX = 4
"""Who waited so many times as long as questions may is late whatever its tenant's share: shares are estimates, and what
is embedded of them must not make the queue longer and longer."""


class PaceMetrics:
    """The metrics of the pace, on the registry of those that all workers have (`shared`)."""

    def __init__(self, shared: Metrics) -> None:
        r = shared.registry
        self.wait = Histogram(
            "refrain_question_wait_seconds",
            "How long questions waited until they were taken",
            buckets=SECONDS,
            registry=r,
        )
        self.overload = Counter(
            "refrain_questions_overload", "Questions that waited too long for a vector to be made", registry=r
        )
        self.together = Histogram("refrain_texts_together", "Texts embedded together", buckets=TEXTS, registry=r)
        self.cost = Gauge("refrain_text_seconds", "Time to embed a text, smoothed", registry=r)


class Pace:
    """The pace of the entrance. Unless it is told of polls, no question is late."""

    def __init__(self, settings: Classify, metrics: PaceMetrics) -> None:
        self._waits = QueueWaits()
        self._lateness = Lateness(settings.wait_max_ms)
        self._spared_max_ms = SPARED_MAX * settings.wait_max_ms
        self._share = FairShare()
        self._now_ms = 0
        self._waits_ms: dict[Place, int] = {}
        """Of the questions of the last batch."""
        self._asked: dict[Place, bool] = {}
        """Questions of the last batch that asked for a new vector, and whether they pass by."""
        self._size = BatchSize(settings.batch_target_ms)
        self._late: set[Place] = set()
        self._ahead = 0
        """How many of the questions to be taken next are late as well."""
        self._metrics = metrics

    def wanted(self, batch_max: int) -> int:
        """How many questions to take at once, at most `batch_max`: half of those that are late, which cost little."""
        return max(self._size.wanted(batch_max), min(batch_max, self._ahead // 2))

    def polled(self, batch: Sequence[Record], behind: Mapping[int, int], now_ms: int) -> None:
        """Measure how long the questions of a batch have waited. It stands however often the batch is processed."""
        waits = self._waits.measure(batch, behind, now_ms)
        for wait_ms in waits:
            self._metrics.wait.observe(wait_ms / 1_000)
        self._late = self._lateness.tell(batch, waits)
        self._ahead = min(self._lateness.ahead, self._late_behind(batch, waits, behind))
        self._now_ms = now_ms
        self._waits_ms = {_place(record): wait_ms for record, wait_ms in zip(batch, waits, strict=True)}
        self._asked = {}
        if batch:
            self._share.advance(now_ms - min(waits), now_ms)

    def _late_behind(self, batch: Sequence[Record], waits_ms: Sequence[int], behind: Mapping[int, int]) -> int:
        """How many of those behind the last question are late if they came evenly since: few waits tell little."""
        if not batch or waits_ms[-1] <= 0:
            return 0
        late = max(0.0, 1 - self._lateness.resumes_ms / waits_ms[-1])
        return int(late * behind.get(batch[-1].partition, 0))

    def passing(self, asking: Iterable[tuple[Record, str]]) -> set[Place]:
        """Which of the questions that ask for a new vector, each with its tenant, are to pass by without one.

        The same each time until the next poll.
        """
        fresh = {_place(record): tenant for record, tenant in asking if _place(record) not in self._asked}
        for place, tenant in fresh.items():
            self._share.ask(tenant, self._now_ms - self._waits_ms.get(place, 0))
        if not self._late.isdisjoint(fresh):
            self._share.deal(self._size.seconds_per_text)
        for place, tenant in fresh.items():
            self._asked[place] = place in self._late and (
                self._waits_ms[place] > self._spared_max_ms or self._share.is_over(tenant)
            )
        return {place for place, passes in self._asked.items() if passes}

    def passed_by(self) -> None:
        """Count a question for which no vector is made."""
        self._metrics.overload.inc()

    def embedded(self, texts: int, seconds: float, questions: int) -> None:
        """Learn that so many new texts of a batch of so many questions took so long."""
        self._size.observe(texts, seconds, questions)
        if texts:
            self._metrics.together.observe(texts)
        if self._size.seconds_per_text is not None:
            self._metrics.cost.set(self._size.seconds_per_text)


def _place(record: Record) -> Place:
    return record.partition, record.offset
