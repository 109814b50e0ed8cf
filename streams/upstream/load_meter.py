"""Measures the load of each model, as this connector sees it: the samples that `adapt` smooths."""

from __future__ import annotations

import math
from collections.abc import Mapping

from refrain.schemas.load import FAILURE_CHARS_MAX, LoadSample
from refrain.streams.kafka.interface import Outgoing

IDLE_MAX_MS = 60_000
"""A model without calls for so long is not reported any more."""
MODELS_MAX = 1_000
"""Clients name the models: more than these are called, and not reported."""
MODEL_CHARS_MAX = 256


class LoadMeter:
    """Latencies of the calls since the last samples, and the last known 95th percentile of each model."""

    def __init__(self, replica: str) -> None:
        self._replica = replica
        self._latencies: dict[str, list[float]] = {}
        self._last_p95: dict[str, float] = {}
        self._used_at_ms: dict[str, int] = {}
        self._failures: dict[str, list[str]] = {}

    def add(self, model: str, latency_ms: float, now_ms: int, failure: str | None = None) -> None:
        """Add the latency of a finished call of `model`; `failure` says what came of one that brought no answer."""
        if self._known(model, now_ms):
            self._latencies.setdefault(model, []).append(latency_ms)
            if failure is not None:
                self._failures.setdefault(model, []).append(failure[:FAILURE_CHARS_MAX])

    def samples(self, depths: Mapping[str, int], now_ms: int) -> list[LoadSample]:
        """Take one sample of each model in use; `depths` counts its calls queued or under way."""
        for model in depths:
            self._known(model, now_ms)
        for model, used in list(self._used_at_ms.items()):
            if now_ms - used > IDLE_MAX_MS:
                del self._used_at_ms[model]
                self._last_p95.pop(model, None)
        for model, latencies in self._latencies.items():
            self._last_p95[model] = p95(latencies)
        ended, failed = self._latencies, self._failures
        self._latencies, self._failures = {}, {}
        return [
            LoadSample(
                model=model,
                replica=self._replica,
                latency_p95_ms=self._last_p95.get(model, 0.0),
                queue_depth=depths.get(model, 0),
                at_ms=now_ms,
                calls=len(ended.get(model, ())),
                failures=len(failed.get(model, ())),
                failure=failed[model][-1] if model in failed else None,
            )
            for model in sorted(self._used_at_ms)
        ]

    def _known(self, model: str, now_ms: int) -> bool:
        if not 0 < len(model) <= MODEL_CHARS_MAX:
            return False
        if model not in self._used_at_ms and len(self._used_at_ms) >= MODELS_MAX:
            return False
        self._used_at_ms[model] = now_ms
        return True


def p95(values: list[float]) -> float:
    """The 95th percentile (nearest rank) of at least one value, rounded to three places."""
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(0.95 * len(ordered)) - 1)], 3)


def to_topic(sample: LoadSample) -> Outgoing:
    """The sample as a record."""
    return Outgoing("load", sample.model.encode(), sample.encode())
