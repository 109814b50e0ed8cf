"""What a worker of each processor registers at its /metrics."""

from __future__ import annotations

from pathlib import Path

from refrain.ops.run.processors import processor
from refrain.streams.adapt.load_controller import AdaptMetrics
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Embedding, Settings, Upstream


def registered(name: str, state_dir: Path) -> set[tuple[str, str]]:
    """Name and type of the metrics of a worker that runs until it is told to stop, at once."""
    metrics = Metrics()
    if name == "adapt":
        # Faust wants a broker: what adapt registers before it asks for one.
        AdaptMetrics(metrics)
    else:
        settings = Settings(
            embedding=Embedding(backend="free"), upstream=Upstream(connector="simulated"), state_dir=state_dir
        )
        cluster = MemoryCluster(lambda: 0)
        processor(name)(
            WorkerContext(settings, cluster, metrics, stop=lambda: True, ready=lambda: None, now_ms=lambda: 0)
        )
    return {(family.name, family.type) for family in metrics.registry.collect()}
