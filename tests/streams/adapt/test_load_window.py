"""Samples become a smoothed load, and only changes worth telling become reports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.load import LATENCY_MS_MAX, QUEUE_MAX, LoadSample
from refrain.schemas.policy import ModelPolicy
from refrain.streams.adapt.load_window import (
    FUTURE_MAX_MS,
    SAMPLES_MAX,
    SERIES_MAX,
    LoadReport,
    LoadReports,
    LoadWindow,
    Smoothed,
    load_of,
)

TARGETS = ModelPolicy(latency_target_ms=100, queue_target=10, latency_weight=0.5, saturation=2.0)


def sample(at_ms: int, latency: float = 100, queue: float = 10, replica: str = "a", model: str = "m") -> LoadSample:
    return LoadSample(model=model, replica=replica, latency_p95_ms=latency, queue_depth=queue, at_ms=at_ms)


def window_of(*samples: LoadSample, now_ms: int = 10_000) -> LoadWindow:
    window = LoadWindow(1_000)
    for one in samples:
        assert window.add(one, now_ms) is None
    return window


def test_the_mean_is_taken_over_time_and_then_over_replicas() -> None:
    window = window_of(
        sample(9_500, 100, 2), sample(9_600, 300, 4), sample(9_700, 600, 9, "b"), sample(9_700, 1, 1, "a", "other")
    )
    assert window.smoothed(10_000) == {"m": Smoothed(400, 6), "other": Smoothed(1, 1)}


def test_samples_leave_the_window_and_then_the_model_does() -> None:
    window = window_of(sample(9_100, 100, 0), sample(9_900, 300, 0))
    assert window.smoothed(10_200) == {"m": Smoothed(300, 0)}
    assert window.smoothed(11_000) == {}


def test_late_and_future_samples_are_dropped() -> None:
    window = LoadWindow(1_000)
    assert window.add(sample(8_999), 10_000) == "late"
    assert window.add(sample(9_000), 10_000) is None
    assert window.add(sample(10_001 + FUTURE_MAX_MS), 10_000) == "future"


def test_only_so_many_series_are_followed() -> None:
    window = window_of(*(sample(10_000, replica=str(number)) for number in range(SERIES_MAX)))
    assert window.add(sample(10_000, replica="one more"), 10_000) == "too_many_series"
    assert window.add(sample(9_999, replica="0"), 10_000) is None


def test_only_so_many_samples_of_a_replica_are_kept() -> None:
    window = LoadWindow(60_000)
    for number in range(2 * SAMPLES_MAX):
        assert window.add(sample(number, latency=0 if number < SAMPLES_MAX else 100), 2 * SAMPLES_MAX) is None
    assert window.smoothed(2 * SAMPLES_MAX) == {"m": Smoothed(100, 10)}


def test_of_two_samples_of_one_replica_and_time_the_first_counts() -> None:
    window = window_of(sample(9_500, 100))
    assert window.add(sample(9_500, 900), 10_000) == "duplicate"
    assert window.add(sample(9_500, 300, replica="b"), 10_000) is None
    assert window.smoothed(10_000) == {"m": Smoothed(200, 10)}


def test_a_clock_that_runs_ahead_makes_no_sample_count_for_longer() -> None:
    window = window_of(sample(10_000 + FUTURE_MAX_MS))
    assert window.add(sample(10_000 + FUTURE_MAX_MS), 10_900) == "duplicate"
    assert window.smoothed(11_000) == {"m": Smoothed(100, 10)}
    assert window.smoothed(11_001) == {}


moments = st.integers(9_000, 10_000)


@given(st.lists(st.tuples(moments, st.floats(0, LATENCY_MS_MAX), st.sampled_from("abc")), unique_by=lambda s: s[::2]))
def test_the_order_of_samples_makes_no_difference(samples: list[tuple[int, float, str]]) -> None:
    taken = [sample(at, latency, replica=replica) for at, latency, replica in samples]
    assert window_of(*taken).smoothed(10_000) == window_of(*reversed(taken)).smoothed(10_000)


def test_one_replica_of_many_moves_the_load_by_its_part_alone() -> None:
    stuck = sample(10_000, 100, 40, "stuck")
    window = window_of(stuck, *(sample(10_000, 50, 5, replica) for replica in "abcdefghi"))
    assert load_of(window.smoothed(10_000)["m"], TARGETS) == 0.0


@pytest.mark.parametrize(
    ("latency", "queue", "load"),
    [(0, 0, 0), (100, 10, 0), (200, 10, 0.5), (100, 15, 0.25), (150, 15, 0.5), (200, 20, 1), (9_000, 0, 1)],
)
def test_the_load_follows_the_formula(latency: float, queue: float, load: float) -> None:
    assert load_of(Smoothed(latency, queue), TARGETS) == load


def test_the_largest_samples_are_full_load() -> None:
    window = window_of(sample(10_000, LATENCY_MS_MAX, QUEUE_MAX), sample(10_000, 0, 0, "b"))
    assert load_of(window.smoothed(10_000)["m"], TARGETS) == 1.0


def test_targets_of_next_to_nothing_are_full_load() -> None:
    assert load_of(Smoothed(100, 1), ModelPolicy(latency_target_ms=5e-324, queue_target=5e-324)) == 1.0


@given(st.floats(0, 1e300), st.floats(0, 1e300), st.floats(0, 1), st.floats(1.001, 100))
def test_the_load_is_always_between_0_and_1(latency: float, queue: float, weight: float, saturation: float) -> None:
    targets = ModelPolicy(latency_weight=weight, saturation=saturation)
    assert 0 <= load_of(Smoothed(latency, queue), targets) <= 1


@pytest.fixture
def reports() -> LoadReports:
    return LoadReports(0.1, 30_000, 1_000)


def test_a_change_under_the_step_is_ignored_until_it_adds_up(reports: LoadReports) -> None:
    assert reports.due({"m": 0.09}, 0) == []
    assert reports.due({"m": 0.1}, 0) == [LoadReport("m", 0.1, 30_000)]
    assert reports.due({"m": 0.19}, 1) == []
    assert reports.due({"m": 0.2}, 2) == [LoadReport("m", 0.2, 30_002)]


def test_a_return_to_nothing_is_always_told(reports: LoadReports) -> None:
    reports.due({"m": 0.1}, 0)
    reports.due({"m": 0.04}, 0)
    assert reports.due({"m": 0.0}, 1) == [LoadReport("m", 0.0, 30_001)]
    assert reports.due({"m": 0.0}, 2) == []


def test_a_load_that_lasts_is_told_again_before_its_time_runs_out(reports: LoadReports) -> None:
    reports.due({"m": 0.5}, 0)
    assert reports.due({"m": 0.52}, 19_999) == []
    assert reports.due({"m": 0.52}, 20_000) == [LoadReport("m", 0.5, 50_000)]


def test_no_load_is_not_told_again(reports: LoadReports) -> None:
    assert reports.due({"m": 0.0}, 0) == []
    assert reports.due({"m": 0.0}, 25_000) == []


def test_a_model_without_samples_is_left_to_run_out(reports: LoadReports) -> None:
    reports.due({"m": 0.5}, 0)
    assert reports.due({}, 29_000) == []
    assert reports.due({"m": 0.05}, 31_000) == []
    assert reports.due({"m": 0.5}, 32_000) == [LoadReport("m", 0.5, 62_000)]


@pytest.mark.parametrize("demand", [1.05, 1.1, 1.2, 1.3])
def test_the_relief_that_a_report_brings_does_not_make_the_load_swing(demand: float) -> None:
    targets = ModelPolicy(latency_weight=0.0, queue_target=12)
    window, reports = LoadWindow(10_000), LoadReports(0.1, 30_000, 1_000)
    queue, last, loads = 0.0, 0.0, []
    for now_ms in range(0, 3_600_000, 1_000):
        # Full load spares the model a fourth of its calls; each second it works off two.
        queue = max(0.0, queue + 2 * (demand * (1 - 0.25 * last) - 1))
        window.add(sample(now_ms, 0, queue), now_ms)
        for report in reports.due({"m": load_of(window.smoothed(now_ms)["m"], targets)}, now_ms):
            last = report.load
        loads.append(last)
    settled = loads[-600:]
    assert max(settled) - min(settled) <= 0.2


def test_after_a_clock_was_set_back_the_load_is_that_of_the_samples_since() -> None:
    window = window_of(sample(3_600_000, 900, 90), now_ms=3_600_000)
    assert window.add(sample(10_000, 100, 1), 10_000) is None
    assert window.smoothed(10_000) == {"m": Smoothed(100, 1)}


def test_after_a_clock_was_set_back_a_load_is_told_for_as_long_as_ever(reports: LoadReports) -> None:
    reports.due({"m": 0.5}, 3_600_000)
    (told,) = reports.due({"m": 0.5}, 10_000)
    assert told.valid_until_ms < 3_600_000
