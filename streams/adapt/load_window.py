"""How loaded a model is: samples smoothed over a window, and when a change is worth a report.

Pure: time comes in with every call. The formula is section 6 of the design.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from refrain.schemas.load import LoadSample
from refrain.schemas.policy import ModelPolicy

FUTURE_MAX_MS = 60_000
"""How far a sample's clock may run ahead."""
SERIES_MAX = 10_000
"""Pairs of model and replica that are followed."""
SAMPLES_MAX = 1_000
"""Samples kept of each; the first to come leaves for the next."""
PLACES = 2
"""Decimal places of a load."""
LATE = "late"
FUTURE = "future"
DUPLICATE = "duplicate"
CROWDED = "too_many_series"


class Smoothed(NamedTuple):
    """Means over the window and over the replicas."""

    latency_ms: float
    queue: float


class _Taken(NamedTuple):
    """What is kept of a sample, and until when."""

    latency_ms: float
    queue: float
    counts_until_ms: int


class LoadWindow:
    """The samples of the last `window_ms`, in whatever order they came."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._series: dict[tuple[str, str], dict[int, _Taken]] = {}

    def add(self, sample: LoadSample, now_ms: int) -> str | None:
        """Take a sample; otherwise says why it is dropped.

        Of two samples of one replica and one time the first counts: what a connector repeats after a crash is the same.
        """
        if sample.at_ms < now_ms - self._window_ms:
            return LATE
        if sample.at_ms > now_ms + FUTURE_MAX_MS:
            return FUTURE
        key = (sample.model, sample.replica)
        if key not in self._series and len(self._series) >= SERIES_MAX:
            return CROWDED
        series = self._series.setdefault(key, {})
        if sample.at_ms in series:
            return DUPLICATE
        if len(series) >= SAMPLES_MAX:
            del series[next(iter(series))]
        # A clock that runs ahead must not make its samples count for longer than others.
        until = min(sample.at_ms, now_ms) + self._window_ms
        series[sample.at_ms] = _Taken(sample.latency_p95_ms, sample.queue_depth, until)
        return None

    def smoothed(self, now_ms: int) -> dict[str, Smoothed]:
        """The models of which there is a sample in the window; older samples are forgotten.

        Each replica counts alike, however often it reports: one that stands still moves a model of n replicas by an
        nth of what it says, and what it can say is bounded by the wire contract.
        """
        replicas: dict[str, list[Smoothed]] = {}
        for key in list(self._series):
            kept = {at: taken for at, taken in self._series[key].items() if taken.counts_until_ms >= now_ms}
            if not kept:
                del self._series[key]
                continue
            self._series[key] = kept
            mean = Smoothed(_mean([s.latency_ms for s in kept.values()]), _mean([s.queue for s in kept.values()]))
            replicas.setdefault(key[0], []).append(mean)
        return {
            model: Smoothed(_mean([r.latency_ms for r in rows]), _mean([r.queue for r in rows]))
            for model, rows in sorted(replicas.items())
        }


def load_of(smoothed: Smoothed, targets: ModelPolicy) -> float:
    """The load, 0 up to target and 1 at saturation, rounded to two places."""
    pressure = (
        targets.latency_weight * smoothed.latency_ms / targets.latency_target_ms
        + (1 - targets.latency_weight) * smoothed.queue / targets.queue_target
    )
    if not math.isfinite(pressure):
        # Targets of next to nothing: whatever is measured is beyond saturation.
        return 1.0
    return round(min(1.0, max(0.0, (pressure - 1) / (targets.saturation - 1))), PLACES)


class Report(NamedTuple):
    """A load to tell the shards."""

    model: str
    load: float
    valid_until_ms: int


class LoadReports:
    """What was told, and so what is worth telling now. Reported loads hold for `valid_for_ms`."""

    def __init__(self, step_min: float, valid_for_ms: int, interval_ms: int) -> None:
        self._step_min = step_min
        self._valid_for_ms = valid_for_ms
        # Two intervals are left when a load is told again: one report may be late.
        self._renew_ms = max(2 * interval_ms, valid_for_ms // 3)
        self._told: dict[str, Report] = {}

    def due(self, loads: Mapping[str, float], now_ms: int) -> list[Report]:
        """Changes of at least the step, every return to 0, and loads whose time runs out while they last."""
        reports = [report for model, load in loads.items() if (report := self._about(model, load, now_ms))]
        self._told = {model: told for model, told in self._told.items() if told.valid_until_ms > now_ms}
        self._told.update({report.model: report for report in reports})
        return reports

    def _about(self, model: str, load: float, now_ms: int) -> Report | None:
        told = self._told.get(model)
        before = told.load if told is not None and told.valid_until_ms > now_ms else 0.0
        moved = abs(load - before)
        if (moved and load == 0) or (moved and round(moved, PLACES) >= self._step_min):
            return Report(model, load, now_ms + self._valid_for_ms)
        if before > 0 and told is not None and told.valid_until_ms - now_ms <= self._renew_ms:
            return Report(model, before, now_ms + self._valid_for_ms)
        return None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
