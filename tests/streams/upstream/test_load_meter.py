"""What the connector tells of the models' load."""

from __future__ import annotations

from refrain.streams.upstream.load_meter import IDLE_MAX_MS, MODELS_MAX, LoadMeter, p95


def test_a_sample_has_the_95th_percentile_and_the_queue() -> None:
    meter = LoadMeter("eu-1")
    for latency in range(1, 101):
        meter.add("m", latency, 1_000)
    (sample,) = meter.samples({"m": 4}, 1_000)
    assert (sample.model, sample.replica, sample.at_ms) == ("m", "eu-1", 1_000)
    assert (sample.latency_p95_ms, sample.queue_depth) == (95, 4)


def test_without_new_calls_the_last_known_latency_is_told() -> None:
    meter = LoadMeter("a")
    meter.add("m", 7, 1_000)
    meter.samples({}, 1_000)
    (sample,) = meter.samples({}, 2_000)
    assert (sample.latency_p95_ms, sample.queue_depth) == (7, 0)


def test_a_model_whose_first_calls_are_still_open_is_told_of() -> None:
    (sample,) = LoadMeter("a").samples({"m": 2}, 5)
    assert (sample.latency_p95_ms, sample.queue_depth) == (0, 2)


def test_an_idle_model_is_forgotten() -> None:
    meter = LoadMeter("a")
    meter.add("m", 7, 0)
    assert len(meter.samples({}, IDLE_MAX_MS)) == 1
    assert meter.samples({}, IDLE_MAX_MS + 1) == []


def test_names_that_make_no_sample_and_too_many_names_are_left_out() -> None:
    meter = LoadMeter("a")
    meter.add("", 1, 0)
    meter.add("x" * 257, 1, 0)
    assert meter.samples({"": 3}, 0) == []
    assert len(meter.samples({str(n): 1 for n in range(MODELS_MAX + 5)}, 0)) == MODELS_MAX


def test_the_percentile_of_one_value_is_the_value() -> None:
    assert p95([3.0]) == 3.0
