"""compare: compares the answer that the cache would have given with the model's. `observations` -> `comparisons`.

Comparisons carry no text. Neither do this processor's dead letters: a category may have become `never` since it was
observed; what cannot be read stays in `observations` as long as that keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from prometheus_client import Counter

from refrain.schemas.observations import Comparison, NotCompared, Observation
from refrain.streams.compare.answer_text import text_of
from refrain.streams.compare.parts import mean, split
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.dead_letters import reject
from refrain.streams.messaging.decoding import read
from refrain.streams.metrics import LabelValues, Metrics
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.embedding_cache import EmbeddingCache, EmbeddingMetrics
from refrain.streams.models.loading import find_model, load_embedder
from refrain.streams.models.threads import local_threads_of
from refrain.streams.runtime.background import load_in_background
from refrain.streams.runtime.batch_spans import BatchSpans
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.stateless import Step, run_stateless
from refrain.streams.runtime.topic_check import require_topics
from refrain.streams.settings import Embedding
from refrain.streams.traces.interface import OFF, Traces
from refrain.streams.vectors import Ints, similarity

NAME = "compare"
SOURCE = "observations"
TARGET = "comparisons"
PARTS_MAX = 32
"""Windows of the embedder that one answer may fill; a longer one is not compared."""
CATEGORY_LABELS_MAX = 1_000
"""Categories that metrics count by themselves."""
BATCH_MAX = 8
"""Observations taken together: all of the longest answers take a model on two cores some 12 s."""

Load = Callable[[], Embedder]


class PendingComparison(NamedTuple):
    """An observation with its result (a similarity, or why none), or else with the two texts to embed."""

    observation: Observation
    found: float | NotCompared | None = None
    texts: tuple[str, ...] = ()


class CompareMetrics:
    """The metrics of this processor, on the registry of those that all workers have (`shared`).

    `threads` are those of the embedding model.
    """

    def __init__(self, shared: Metrics, threads: int = 0) -> None:
        self.shared = shared
        self.comparisons = Counter(
            "refrain_comparisons",
            "Observed answers compared with the model's",
            ["category", "equal"],
            registry=shared.registry,
        )
        self.categories = LabelValues(CATEGORY_LABELS_MAX)
        self.embedding = EmbeddingMetrics(shared, threads)


class CompareStep(Step):
    """Observations in; comparisons and dead letters out. The embedder is loaded by the first texts that need it.

    The vectors of `remembered` recent texts are cached: an entry is compared with many answers.
    """

    def __init__(self, load: Load, remembered: int, metrics: CompareMetrics, traces: Traces = OFF) -> None:
        self._load = load
        self._remembered = remembered
        self._metrics = metrics
        self._cache: EmbeddingCache | None = None
        self._spans = BatchSpans(NAME, traces)

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        """Compare a batch, in its order, with one call of the embedder for all its texts."""
        self._spans.begin(batch)
        taken = [self._take(record) for record in batch]
        # A dict and not a set: a repeated batch is embedded in the same order, and so to the last digit the same.
        texts = dict.fromkeys(text for item in taken if isinstance(item, PendingComparison) for text in item.texts)
        vectors = self._vectors(texts)
        return [self._finish(place, item, vectors) for place, item in enumerate(taken)]

    def sent(self) -> None:
        """The comparisons are acknowledged: their spans end."""
        self._spans.sent()

    def _take(self, record: Record) -> PendingComparison | Outgoing:
        try:
            return _compare_texts(read(record.value, Observation.decode))
        except Refusal as refusal:
            return reject(record, refusal, NAME, self._metrics.shared, with_text=False)

    def _vectors(self, texts: Collection[str]) -> dict[str, Ints | NotCompared]:
        """The vector of each text as a whole, or why it has none."""
        if not texts:
            return {}
        cache = self._loaded_cache()
        parts = {text: split(text, cache.embedder.fits, PARTS_MAX) for text in texts}
        wanted = [part for each in parts.values() for part in each or ()]
        found = dict(zip(wanted, cache.vectors(wanted), strict=True)) if wanted else {}
        return {text: _mean_of(each, found) for text, each in parts.items()}

    def _loaded_cache(self) -> EmbeddingCache:
        if self._cache is None:
            self._cache = EmbeddingCache(self._load(), self._remembered, self._metrics.embedding)
        return self._cache

    def _finish(
        self, place: int, item: PendingComparison | Outgoing, vectors: dict[str, Ints | NotCompared]
    ) -> Outgoing:
        """The comparison of the record at this place of the batch; its dead letter as it is."""
        if isinstance(item, Outgoing):
            self._spans.refuse(place, item)
            return item
        seen = item.observation
        found = item.found if item.found is not None else _similarity_of(*(vectors[text] for text in item.texts))
        embedded = item.texts and not isinstance(found, NotCompared)
        comparison = Comparison(
            **seen.model_dump(exclude={"v", "cached", "answered"}),
            similarity=None if isinstance(found, NotCompared) else found,
            not_compared=found if isinstance(found, NotCompared) else None,
            embedder=self._loaded_cache().embedder.identity if embedded else None,
        )
        category = self._metrics.categories.of(seen.category)
        self._spans.tell(
            place,
            category=category,
            equal=seen.equal,
            similarity=comparison.similarity,
            not_compared=None if comparison.not_compared is None else comparison.not_compared.value,
        )
        self._metrics.comparisons.labels(category, str(seen.equal).lower()).inc()
        return Outgoing(TARGET, seen.decision_id.encode(), comparison.encode())


def run_compare(
    context: WorkerContext,
    embedder: Embedder | None = None,
    load_model: Callable[[Embedding, Path], Embedder] = load_embedder,
) -> None:
    """Run until `stop`. Without an `embedder` `load_model` loads the one of the settings when it is needed.

    Raises WrongSetup for missing topics or a model that is not here, ClusterFailed when the broker fails.
    """
    settings, cluster = context.settings, context.cluster
    require_topics(cluster, NAME)
    if embedder is None:
        check_model(settings.embedding)

    def load() -> Embedder:
        if embedder is not None:
            return embedder
        return load_in_background(lambda: load_model(settings.embedding, settings.state_dir / "models"), context.stop)

    metrics = CompareMetrics(context.metrics, local_threads_of(settings.embedding))
    step = CompareStep(load, settings.embedding.remembered, metrics, context.traces)
    run_stateless(NAME, cluster.consumer(SOURCE, NAME), cluster.producer(), step, context, batch_max=BATCH_MAX)


def check_model(settings: Embedding) -> None:
    """Check at the start that the model can be loaded. Raises WrongSetup when it is not here."""
    if settings.backend in ("free", "http") or settings.allow_download:
        return
    find_model(settings)


def _compare_texts(seen: Observation) -> PendingComparison:
    """Compare without vectors where that is possible. Raises Refusal for an answer that is no projection."""
    if seen.equal:
        return PendingComparison(seen, 1.0)
    if seen.cached is None:
        return PendingComparison(seen, NotCompared.GONE)
    if seen.answered is None:
        return PendingComparison(seen, NotCompared.TOO_LONG)
    cached, answered = text_of(seen.cached), text_of(seen.answered)
    if not (cached and answered):
        return PendingComparison(seen, NotCompared.NO_TEXT)
    if cached == answered:
        return PendingComparison(seen, 1.0)
    return PendingComparison(seen, texts=(cached, answered))


def _similarity_of(first: Ints | NotCompared, second: Ints | NotCompared) -> float | NotCompared:
    if isinstance(first, NotCompared):
        return first
    return second if isinstance(second, NotCompared) else similarity(first, second)


def _mean_of(parts: list[str] | None, found: dict[str, Ints | None]) -> Ints | NotCompared:
    if parts is None:
        return NotCompared.TOO_LONG
    vectors = [vector for part in parts if (vector := found[part]) is not None]
    if len(vectors) < len(parts):
        return NotCompared.NO_VECTOR
    try:
        return mean(parts, vectors)
    except ValueError:
        return NotCompared.NO_VECTOR
