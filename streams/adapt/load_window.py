"""Smooths samples of load over a window, and decides which changes of a load are reported.

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
    """The smoothed load of a model: means over the window and over the replicas."""

    latency_ms: float
    queue: float


class _WindowedSample(NamedTuple):
    """A sample in the window, and until when it counts."""

    latency_ms: float
    queue: float
    counts_until_ms: int


class LoadWindow:
    """A sliding window of samples, `window_ms` long; they may come in any order."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._series: dict[tuple[str, str], dict[int, _WindowedSample]] = {}

    def add(self, sample: LoadSample, now_ms: int) -> str | None:
        """Add a sample; returns why it is dropped, None when it is not.

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
        series[sample.at_ms] = _WindowedSample(sample.latency_p95_ms, sample.queue_depth, until)
        return None

    def smoothed(self, now_ms: int) -> dict[str, Smoothed]:
        """Smooth the samples of each model that has some in the window; older ones are dropped.

        Each replica counts alike, however often it reports: one that stands still moves a model of n replicas by an
        nth of what it says, and what it can say is bounded by the wire contract.
        """
        replicas: dict[str, list[Smoothed]] = {}
        for key in list(self._series):
            # Where the clock was set back, those from before are of a time that has not come.
            kept = {
                at: taken
                for at, taken in self._series[key].items()
                if now_ms <= taken.counts_until_ms <= now_ms + FUTURE_MAX_MS + self._window_ms
            }
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
    """The load of a model: 0 up to its target, 1 at saturation, rounded to two places."""
    pressure = (
        targets.latency_weight * smoothed.latency_ms / targets.latency_target_ms
        + (1 - targets.latency_weight) * smoothed.queue / targets.queue_target
    )
    if not math.isfinite(pressure):
        # Targets of next to nothing: whatever is measured is beyond saturation.
        return 1.0
    return round(min(1.0, max(0.0, (pressure - 1) / (targets.saturation - 1))), PLACES)


class LoadReport(NamedTuple):
    """The load of a model, to be reported to the shards."""

    model: str
    load: float
    valid_until_ms: int


class LoadReports:
    """Decides which loads are reported, by those reported last. A reported load holds for `valid_for_ms`."""

    def __init__(self, step_min: float, valid_for_ms: int, interval_ms: int) -> None:
        self._step_min = step_min
        self._valid_for_ms = valid_for_ms
        # Two intervals are left when a load is told again: one report may be late.
        self._renew_ms = max(2 * interval_ms, valid_for_ms // 3)
        self._reported: dict[str, LoadReport] = {}

    def due(self, loads: Mapping[str, float], now_ms: int) -> list[LoadReport]:
        """The reports due: changes of at least the step, every return to 0, and loads that would expire."""
        reports = [report for model, load in loads.items() if (report := self._report_of(model, load, now_ms))]
        self._reported = {model: last for model, last in self._reported.items() if last.valid_until_ms > now_ms}
        self._reported.update({report.model: report for report in reports})
        return reports

    def _report_of(self, model: str, load: float, now_ms: int) -> LoadReport | None:
        last = self._reported.get(model)
        if last is not None and last.valid_until_ms - now_ms > self._valid_for_ms:
            # The clock was set back: what was told then holds for longer than it is to.
            last = None
        before = last.load if last is not None and last.valid_until_ms > now_ms else 0.0
        moved = abs(load - before)
        if (moved and load == 0) or (moved and round(moved, PLACES) >= self._step_min):
            return LoadReport(model, load, now_ms + self._valid_for_ms)
        if before > 0 and last is not None and last.valid_until_ms - now_ms <= self._renew_ms:
            return LoadReport(model, before, now_ms + self._valid_for_ms)
        return None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
