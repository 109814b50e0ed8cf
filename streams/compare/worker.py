"""compare: how the answer that the cache would have given compares with the model's. `observations` -> `comparisons`.

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
from refrain.streams.metrics import Metrics
from refrain.streams.models.embedder import Embedder
from refrain.streams.models.embedding_cache import EmbeddingMetrics, Remembering
from refrain.streams.models.loading import load_embedder
from refrain.streams.runtime.background import load_in_background
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.stateless import Step, run_stateless
from refrain.streams.runtime.topic_check import require_topics
from refrain.streams.settings import Embedding
from refrain.streams.vectors import Ints, similarity

NAME = "compare"
SOURCE = "observations"
TARGET = "comparisons"
PARTS_MAX = 32
"""Windows of the embedder that one answer may fill; a longer one is not compared."""
BATCH_MAX = 8
"""Observations taken together: all of the longest answers take a model on two cores some 12 s."""

Load = Callable[[], Embedder]


class PendingComparison(NamedTuple):
    """An observation, and how its answers compare (a similarity, or why none) or the two texts to embed."""

    observation: Observation
    found: float | NotCompared | None = None
    texts: tuple[str, ...] = ()


class CompareMetrics:
    """The metrics of this processor, on the registry of those that all workers have (`shared`)."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        self.comparisons = Counter(
            "refrain_comparisons",
            "Observed answers compared with the model's",
            ["category", "equal"],
            registry=shared.registry,
        )
        self.embedding = EmbeddingMetrics(shared)


class Compare(Step):
    """Observations in; comparisons and dead letters out. The embedder is loaded by the first texts that need it.

    `remembered` vectors of recent texts are kept: an entry is compared with many answers.
    """

    def __init__(self, load: Load, remembered: int, metrics: CompareMetrics) -> None:
        self._load = load
        self._remembered = remembered
        self._metrics = metrics
        self._remembering: Remembering | None = None

    def process(self, batch: Sequence[Record]) -> list[Outgoing]:
        """What comes of a batch, in its order; one call of the embedder for all its texts."""
        taken = [self._take(record) for record in batch]
        # A dict and not a set: a repeated batch is embedded in the same order, and so to the last digit the same.
        texts = dict.fromkeys(text for item in taken if isinstance(item, PendingComparison) for text in item.texts)
        vectors = self._vectors(texts)
        return [self._finish(item, vectors) if isinstance(item, PendingComparison) else item for item in taken]

    def _take(self, record: Record) -> PendingComparison | Outgoing:
        try:
            return _open(read(record.value, Observation.decode))
        except Refusal as refusal:
            return reject(record, refusal, NAME, self._metrics.shared, with_text=False)

    def _vectors(self, texts: Collection[str]) -> dict[str, Ints | NotCompared]:
        """The vector of each text as a whole, or why it has none."""
        if not texts:
            return {}
        remembering = self._ready()
        parts = {text: split(text, remembering.embedder.fits, PARTS_MAX) for text in texts}
        wanted = [part for each in parts.values() for part in each or ()]
        found = dict(zip(wanted, remembering.vectors(wanted), strict=True)) if wanted else {}
        return {text: _whole(each, found) for text, each in parts.items()}

    def _ready(self) -> Remembering:
        if self._remembering is None:
            self._remembering = Remembering(self._load(), self._remembered, self._metrics.embedding)
        return self._remembering

    def _finish(self, item: PendingComparison, vectors: dict[str, Ints | NotCompared]) -> Outgoing:
        seen = item.observation
        found = item.found if item.found is not None else _near(*(vectors[text] for text in item.texts))
        embedded = item.texts and not isinstance(found, NotCompared)
        comparison = Comparison(
            **seen.model_dump(exclude={"v", "cached", "answered"}),
            similarity=None if isinstance(found, NotCompared) else found,
            not_compared=found if isinstance(found, NotCompared) else None,
            embedder=self._ready().embedder.identity if embedded else None,
        )
        self._metrics.comparisons.labels(seen.category, str(seen.equal).lower()).inc()
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

    step = Compare(load, settings.embedding.remembered, CompareMetrics(context.metrics))
    run_stateless(NAME, cluster.consumer(SOURCE, NAME), cluster.producer(), step, context, batch_max=BATCH_MAX)


def check_model(settings: Embedding) -> None:
    """Raises WrongSetup for a model that could not be loaded: at the start, not at the first observation."""
    if settings.backend == "free" or settings.allow_download:
        return
    from refrain.streams.models.transformer_embedder import find_model

    find_model(settings)


def _open(seen: Observation) -> PendingComparison:
    """Raises Refusal for an answer that is no projection."""
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


def _near(first: Ints | NotCompared, second: Ints | NotCompared) -> float | NotCompared:
    if isinstance(first, NotCompared):
        return first
    return second if isinstance(second, NotCompared) else similarity(first, second)


def _whole(parts: list[str] | None, found: dict[str, Ints | None]) -> Ints | NotCompared:
    if parts is None:
        return NotCompared.TOO_LONG
    vectors = [vector for part in parts if (vector := found[part]) is not None]
    if len(vectors) < len(parts):
        return NotCompared.NO_VECTOR
    try:
        return mean(parts, vectors)
    except ValueError:
        return NotCompared.NO_VECTOR
