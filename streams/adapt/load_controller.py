"""Decides what the shards are told of how loaded each model is: samples of `load` in, commands out."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Gauge

from refrain.schemas.control import ReportLoad
from refrain.schemas.load import LoadSample
from refrain.schemas.policy import ModelPolicy
from refrain.streams.adapt.load_window import LoadReports, LoadWindow, load_of
from refrain.streams.errors import Refusal
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.dead_letters import dead_letter
from refrain.streams.messaging.decoding import read
from refrain.streams.metrics import Metrics
from refrain.streams.settings import Adapt

NAME = "adapt"
SOURCE = "load"
SAMPLE_BYTES_MAX = 10_000
LETTER_BYTES_MAX = 500_000
"""The largest dead letter: aiokafka's producer takes less than the others."""


class AdaptMetrics:
    """The metrics of this processor, on the registry of those that all workers have (`shared`)."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        self.load = Gauge("refrain_model_load", "Smoothed load of a model", ["model"], registry=shared.registry)


class LoadController:
    """Turns samples of load into commands, by the window of samples and what was reported last."""

    def __init__(self, settings: Adapt, metrics: AdaptMetrics) -> None:
        self._window = LoadWindow(settings.window_ms)
        self._reports = LoadReports(settings.step_min, settings.valid_for_ms, settings.interval_ms)
        self._metrics = metrics
        self._targets: Mapping[str, ModelPolicy] | None = None

    def set_targets(self, targets: Mapping[str, ModelPolicy] | None) -> None:
        """Set the load targets of the policy in force; None while no policy is known."""
        self._targets = targets

    def take(self, record: Record, now_ms: int) -> Outgoing | None:
        """Take a sample; returns the dead letter of one that cannot be decoded, and counts one that is dropped."""
        self._metrics.shared.taken.labels(NAME, SOURCE).inc()
        try:
            sample = read(record.value, LoadSample.decode, bytes_max=SAMPLE_BYTES_MAX)
        except Refusal as refusal:
            self._metrics.shared.refused.labels(NAME, refusal.code.value).inc()
            return dead_letter(record, refusal, NAME, bytes_max=LETTER_BYTES_MAX)
        if self._targets is not None and sample.model not in self._targets:
            dropped: str | None = "no_targets"
        else:
            dropped = self._window.add(sample, now_ms)
        if dropped is not None:
            self._metrics.shared.dropped.labels(NAME, dropped).inc()
        return None

    def commands(self, now_ms: int) -> list[Outgoing]:
        """The commands that report loads, as far as they are due."""
        targets = self._targets or {}
        smoothed = self._window.smoothed(now_ms)
        loads = {model: load_of(mean, targets[model]) for model, mean in smoothed.items() if model in targets}
        for model in targets:
            self._metrics.load.labels(model).set(loads.get(model, 0.0))
        return [
            Outgoing(
                "control",
                None,
                ReportLoad(
                    who=NAME,
                    why="smoothed over the window",
                    model=report.model,
                    load=report.load,
                    valid_until_ms=report.valid_until_ms,
                ).encode(),
                partition=0,
            )
            for report in self._reports.due(loads, now_ms)
        ]
