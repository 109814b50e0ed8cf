"""verify: scores pairs of questions that a shard doubts. `doubts` -> `journal`, to the shard that asks.

Dead letters carry no text: the category may have become `never` since. A score may be given twice; the shard
ignores one that nothing waits for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import Counter, Histogram

from refrain.schemas.doubts import DoubtRaised
from refrain.schemas.journal import Verified
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.dead_letters import reject
from refrain.streams.messaging.decoding import read
from refrain.streams.messaging.shards import Shards, journal_shards
from refrain.streams.metrics import SECONDS, Metrics
from refrain.streams.models.loading import load_verifier
from refrain.streams.models.verifier import CachingVerifier, Verifier
from refrain.streams.runtime.background import load_in_background
from refrain.streams.runtime.batch_spans import BatchSpans
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.stateless import Step, run_stateless
from refrain.streams.runtime.topic_check import require_topics
from refrain.streams.traces.interface import OFF, Traces

logger = logging.getLogger(__name__)

NAME = "verify"
SOURCE = "doubts"
BATCH_MAX = 8
"""Doubts taken together. Few: what comes behind a batch waits for all of it, and the shard does not wait long."""
SAME_FROM = 0.5
"""Scores from here count as `same` in metrics; what is served is the category's to say (`verify`)."""


class VerifyMetrics:
    """The metrics of this processor, on the registry of those that all workers have (`shared`)."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        r = shared.registry
        self.doubts = Counter(
            "refrain_doubts", "Second opinions: same, other, unknown, or late and not given", ["outcome"], registry=r
        )
        self.verify_seconds = Histogram(
            "refrain_verify_seconds", "Time to score the pairs of a batch", buckets=SECONDS, registry=r
        )


class VerifyStep(Step):
    """Doubts in; `verified` events and dead letters out. Without a verifier doubts are only counted."""

    def __init__(
        self,
        verifier: Verifier | None,
        remembered: int,
        journal: Shards,
        metrics: VerifyMetrics,
        now_ms: Callable[[], int],
        traces: Traces = OFF,
    ) -> None:
        self._verifier = None if verifier is None else CachingVerifier(verifier, remembered)
        self._journal = journal
        self._metrics = metrics
        self._now_ms = now_ms
        self._spans = BatchSpans(NAME, traces)

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        """Score a batch, with one call of the model for all its pairs."""
        self._spans.begin(batch)
        letters: list[Outgoing] = []
        waiting: dict[int, DoubtRaised] = {}
        for place, taken in enumerate(map(self._take, batch)):
            if isinstance(taken, Outgoing):
                self._spans.refuse(place, taken)
                letters.append(taken)
            elif self._late(taken):
                self._tell(place, "late")
            else:
                waiting[place] = taken
        return letters + self._scored(waiting)

    def sent(self) -> None:
        """The opinions are acknowledged: their spans end."""
        self._spans.sent()

    def _take(self, record: Record) -> DoubtRaised | Outgoing:
        try:
            doubt = read(record.value, DoubtRaised.decode)
            wrong_shard = self._journal.wrong_shard(doubt.incarnation, doubt.partition)
            if wrong_shard is not None:
                raise wrong_shard
        except Refusal as refusal:
            return reject(record, refusal, NAME, self._metrics.shared, with_text=False)
        return doubt

    def _late(self, doubt: DoubtRaised) -> bool:
        """Whether the deadline of a doubt is over: the shard waits no longer, and its score would delay others."""
        return self._now_ms() > doubt.deadline_at_ms

    def _scored(self, doubts: Mapping[int, DoubtRaised]) -> list[Outgoing]:
        """The opinions on doubts, by their place in the batch."""
        if self._verifier is None:
            for place in doubts:
                self._tell(place, "unknown")
            return []
        if not doubts:
            return []
        started = time.perf_counter()
        scores = self._verifier.scores([(doubt.question.data, doubt.cached.data) for doubt in doubts.values()])
        self._metrics.verify_seconds.observe(time.perf_counter() - started)
        for place, score in zip(doubts, scores, strict=True):
            self._tell(place, _outcome(score), score)
        return [
            _verified(doubt, score, self._verifier.identity)
            for doubt, score in zip(doubts.values(), scores, strict=True)
        ]

    def _tell(self, place: int, outcome: str, score: float | None = None) -> None:
        """Count what came of the doubt at this place of the batch, and tell it by its span."""
        self._metrics.doubts.labels(outcome).inc()
        self._spans.tell(place, outcome=outcome, score=score)


def run_verify(context: WorkerContext, verifier: Verifier | None = None) -> None:
    """Run until `stop`. Without a `verifier` the one of the settings is loaded first.

    Raises WrongSetup for missing topics or a model that is not here or scores no pairs, ClusterFailed when the broker
    fails.
    """
    settings, cluster = context.settings, context.cluster
    require_topics(cluster, NAME)
    journal = journal_shards(cluster)
    if verifier is None:
        # At once, not with the first doubt: nobody waits for an opinion as long as loading takes.
        verifier = load_in_background(
            lambda: load_verifier(settings.verify, settings.state_dir / "models"), context.stop
        )
    if verifier is None:
        logger.warning("no verify.model is set: doubts stay unanswered, so categories with `verify` match no meanings")
    else:
        logger.info("gives second opinions by %s", verifier.identity)
    metrics = VerifyMetrics(context.metrics)
    step = VerifyStep(verifier, settings.verify.remembered, journal, metrics, context.now_ms, context.traces)
    run_stateless(NAME, cluster.consumer(SOURCE, NAME), cluster.producer(), step, context, batch_max=BATCH_MAX)


def _verified(doubt: DoubtRaised, score: float | None, verifier: str) -> Outgoing:
    opinion = Verified(id=doubt.id, entry=doubt.entry, score=score, verifier=verifier)
    return Outgoing("journal", doubt.id.encode(), opinion.encode(), partition=doubt.partition)


def _outcome(score: float | None) -> str:
    if score is None:
        return "unknown"
    return "same" if score >= SAME_FROM else "other"
