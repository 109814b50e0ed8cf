"""Cost of the stages: CPU time a record, batches and waiting, from what workers count of themselves. Pure.

A stage is the workers of one processor together. Where its batches take nearly all of the time, it is what holds the
others up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

BUSY = 0.8
"""Share of the time in batches from which a stage is taken for the bottleneck."""
MEGABYTE = 1_000_000
BROKER = "broker"
ADVICE = {
    "classify": "run another classify worker; an embedder that takes less time is in embedding.backend and model",
    "lookup": "run another lookup worker, up to one a shard",
    "upstream": "raise upstream.concurrency, or run another upstream worker, if the model has room",
    BROKER: "give the broker more processors, or topics with fewer partitions",
}
OTHERS = "run another worker of it"


class WorkerSample(NamedTuple):
    """What one worker, or the broker, had counted at a moment."""

    stage: str
    cpu_s: float
    records: float = 0
    """Records read."""
    batches: float = 0
    busy_s: float = 0
    """Seconds in batches."""
    embedding_s: float = 0
    """Seconds in the embedding model."""
    resident_bytes: float = 0
    threads: float = 0
    """Of the embedding model."""


class StageCost(NamedTuple):
    """Cost of a stage between two moments."""

    stage: str
    workers: int
    records_s: float
    """Records a second."""
    cpu_ms: float | None
    """CPU milliseconds a record; None where none was read."""
    cores: float
    """CPU seconds a second."""
    batch: float | None
    """Records a batch."""
    busy: float
    """Share of the time in batches, a worker."""
    embedding: float
    """Share of the time in the embedding model, a worker."""
    resident_mb: float
    threads: int
    """Of the embedding models, together."""

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()


def sample_of(stage: str, text: str) -> WorkerSample:
    """Sample of a worker from its metrics, in Prometheus' text format."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return WorkerSample(
        stage,
        sums.get("process_cpu_seconds_total", 0.0),
        sums.get("refrain_records_taken_total", 0.0),
        sums.get("refrain_batch_seconds_count", 0.0),
        sums.get("refrain_batch_seconds_sum", 0.0),
        sums.get("refrain_embedding_seconds_sum", 0.0),
        sums.get("process_resident_memory_bytes", 0.0),
        sums.get("refrain_embedding_threads", 0.0),
    )


def costs(before: Mapping[int, WorkerSample], after: Mapping[int, WorkerSample], elapsed_s: float) -> list[StageCost]:
    """Cost of each stage by the samples of its processes, by their ids; one that was not there before is left out."""
    moved: dict[str, list[WorkerSample]] = {}
    for pid, now in after.items():
        if pid in before:
            moved.setdefault(now.stage, []).append(_moved(before[pid], now))
    return [_cost(stage, each, elapsed_s) for stage, each in moved.items()]


def bottleneck(found: Iterable[StageCost]) -> StageCost | None:
    """The stage that holds the others up; None when each has time left."""
    busiest = max(found, key=lambda each: each.busy, default=None)
    return busiest if busiest is not None and busiest.busy >= BUSY else None


def advice(stage: str) -> str:
    """What to do where a stage is the bottleneck."""
    return ADVICE.get(stage, OTHERS)


def crowded(found: Iterable[StageCost], cores: int) -> str | None:
    """What to do where embedding models at work have more threads than the machine has cores; None elsewhere."""
    threads = sum(each.threads for each in found if each.embedding > 0)
    if threads <= cores:
        return None
    return f"embedding models have {threads} threads and this machine {cores} cores: set embedding.threads lower"


def _moved(before: WorkerSample, now: WorkerSample) -> WorkerSample:
    return WorkerSample(
        now.stage,
        now.cpu_s - before.cpu_s,
        now.records - before.records,
        now.batches - before.batches,
        now.busy_s - before.busy_s,
        now.embedding_s - before.embedding_s,
        now.resident_bytes,
        now.threads,
    )


def _cost(stage: str, workers: Sequence[WorkerSample], elapsed_s: float) -> StageCost:
    records, batches = sum(each.records for each in workers), sum(each.batches for each in workers)
    spent_s, all_s = sum(each.cpu_s for each in workers), elapsed_s * len(workers)
    return StageCost(
        stage,
        len(workers),
        round(records / elapsed_s, 1),
        round(spent_s * 1_000 / records, 3) if records else None,
        round(spent_s / elapsed_s, 3),
        round(records / batches, 1) if batches else None,
        round(sum(each.busy_s for each in workers) / all_s, 3),
        round(sum(each.embedding_s for each in workers) / all_s, 3),
        round(sum(each.resident_bytes for each in workers) / MEGABYTE, 1),
        int(sum(each.threads for each in workers)),
    )
