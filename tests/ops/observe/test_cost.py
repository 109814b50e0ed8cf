"""Cost of the stages, from what workers count of themselves."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from refrain.ops.observe.cost import BROKER, WorkerSample, advice, bottleneck, costs, crowded, sample_of
from refrain.streams.metrics import Metrics


def told(batches: dict[str, list[float]], records: dict[str, int]) -> str:
    """Metrics of a worker that worked through batches of these seconds and read records of these topics."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for processor, seconds in batches.items():
        for each in seconds:
            metrics.batch.labels(processor).observe(each)
    for topic, number in records.items():
        metrics.taken.labels("lookup", topic).inc(number)
    return generate_latest(registry).decode() + "process_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 2e6\n"


def test_a_sample_adds_up_what_a_worker_counts_by_topic_and_batch() -> None:
    sample = sample_of("lookup", told({"lookup": [0.25, 0.5]}, {"journal": 30, "documents": 10}))
    assert sample == WorkerSample(
        "lookup", cpu_s=1.5, records=40, batches=2, busy_s=0.75, embedding_s=0, resident_bytes=2e6
    )


def test_workers_of_a_stage_count_together_and_what_came_later_is_left_out() -> None:
    before = {1: WorkerSample("lookup", 1.0, 100, 10, 2.0), 2: WorkerSample("lookup", 0.0)}
    after = {
        1: WorkerSample("lookup", 2.0, 300, 20, 6.0, resident_bytes=2e6),
        2: WorkerSample("lookup", 1.0, 200, 10, 4.0, resident_bytes=1e6),
        3: WorkerSample("lookup", 9.0, 900),
    }
    (cost,) = costs(before, after, 10.0)
    assert (cost.stage, cost.workers, cost.records_s, cost.cpu_ms, cost.cores) == ("lookup", 2, 40.0, 5.0, 0.2)
    assert (cost.batch, cost.busy, cost.resident_mb) == (20.0, 0.4, 3.0)


def test_a_stage_that_read_nothing_has_no_cost_a_record() -> None:
    (cost,) = costs({1: WorkerSample(BROKER, 1.0)}, {1: WorkerSample(BROKER, 3.0)}, 4.0)
    assert (cost.cpu_ms, cost.batch, cost.cores, cost.busy) == (None, None, 0.5, 0.0)


@pytest.mark.parametrize(("busy_s", "narrow"), [(7.9, None), (8.0, "classify"), (10.0, "classify")])
def test_the_stage_that_is_busy_nearly_all_the_time_is_the_bottleneck(busy_s: float, narrow: str | None) -> None:
    idle, busy = WorkerSample("lookup", 0.0), WorkerSample("classify", 0.0)
    found = costs({1: idle, 2: busy}, {1: idle._replace(busy_s=7.0), 2: busy._replace(busy_s=busy_s)}, 10.0)
    named = bottleneck(found)
    assert (None if named is None else named.stage) == narrow


def test_threads_of_the_models_are_told_and_more_than_there_are_cores_are_too_many() -> None:
    text = told({}, {}) + "refrain_embedding_threads 3.0\n"
    samples = {1: sample_of("classify", text), 2: sample_of("classify", text), 3: sample_of("lookup", told({}, {}))}
    at_work = {n: one._replace(embedding_s=one.embedding_s + 0.1) for n, one in samples.items()}
    found = costs(samples, at_work, 1.0)
    assert [(each.stage, each.threads) for each in found] == [("classify", 6), ("lookup", 0)]
    assert crowded(found, 6) is None
    assert "6 threads" in (crowded(found, 5) or "")
    assert crowded(costs(samples, samples, 1.0), 5) is None, "a model that does nothing is in nobody's way"


def test_every_stage_has_advice() -> None:
    assert "shard" in advice("lookup")
    assert advice("populate")
