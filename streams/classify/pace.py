"""Pace: how many questions are taken at once, and which have waited too long for a vector.

When questions come faster than they are embedded, those that waited longer than `classify.wait_max_ms` get no vector,
until the queue is half as long: those behind them are looked up in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram

from refrain.streams.classify.batch_size import BatchSize
from refrain.streams.classify.lateness import Lateness, Place
from refrain.streams.classify.queue_wait import QueueWaits
from refrain.streams.kafka.interface import Record
from refrain.streams.metrics import SECONDS, Metrics
from refrain.streams.settings import Classify

TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
"""Buckets of texts that are embedded together."""


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

    def __init__(self, settings: Classify, metrics: Metrics) -> None:
        self._waits = QueueWaits()
        self._lateness = Lateness(settings.wait_max_ms)
        self._size = BatchSize(settings.batch_target_ms)
        self._late: set[Place] = set()
        self._metrics = PaceMetrics(metrics)

    def wanted(self, batch_max: int) -> int:
        """How many questions to take at once, at most `batch_max`: half of those that are late, which cost little."""
        return max(self._size.wanted(batch_max), min(batch_max, self._lateness.ahead // 2))

    def polled(self, batch: Sequence[Record], behind: Mapping[int, int], now_ms: int) -> None:
        """Measure how long the questions of a batch have waited. It stands however often the batch is processed."""
        waits = self._waits.measure(batch, behind, now_ms)
        for wait_ms in waits:
            self._metrics.wait.observe(wait_ms / 1_000)
        self._late = self._lateness.tell(batch, waits)

    def is_late(self, record: Record) -> bool:
        """Whether a question of the last batch has waited too long for a vector to be made."""
        return (record.partition, record.offset) in self._late

    def passed_by(self) -> None:
        """Count a question for which no vector is made."""
        self._metrics.overload.inc()

    def embedded(self, texts: int, seconds: float) -> None:
        """Learn that so many new texts of a batch took so long."""
        self._size.observe(texts, seconds)
        if texts:
            self._metrics.together.observe(texts)
        if self._size.seconds_per_text is not None:
            self._metrics.cost.set(self._size.seconds_per_text)
