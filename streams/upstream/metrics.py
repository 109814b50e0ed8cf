"""Metrics of the connector: calls of models, their time, and those under way."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from refrain.streams.metrics import SECONDS, LabelValues, Metrics
from refrain.streams.upstream.calls import CallResult
from refrain.streams.upstream.failures import failure_of

NAME = "upstream"
FAILURE_LABELS_MAX = 50
"""Statuses and kinds of errors; those beyond this are counted as `other`."""
MODEL_LABELS_MAX = 50
"""Clients name the models: metrics count those beyond this as `other`."""


class UpstreamMetrics:
    """The metrics of a connector, on the registry of those that all workers have (`shared`)."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        r = shared.registry
        self.calls = Counter("refrain_model_calls", "Calls of a model", ["model", "status"], registry=r)
        self.call_seconds = Histogram(
            "refrain_model_call_seconds", "Time of a model call", ["model"], buckets=SECONDS, registry=r
        )
        self.open_calls = Gauge("refrain_model_calls_open", "Calls under way", registry=r)
        self.failures = Counter(
            "refrain_model_failures", "Calls of a model that failed, by what came", ["model", "failure"], registry=r
        )
        self._models = LabelValues(MODEL_LABELS_MAX)
        self._failures = LabelValues(FAILURE_LABELS_MAX)

    def count(self, called: CallResult) -> None:
        """Count a forward whose completion is acknowledged."""
        self.shared.sent.labels(NAME, "completions").inc()
        if not called.called:
            self.shared.dropped.labels(NAME, "deadline").inc()
            return
        model = self.model_label(called.forward.model)
        failure = failure_of(called.answer)
        if failure is not None:
            self.failures.labels(model, self.failure_label(failure)).inc()
        self.calls.labels(model, "ok" if called.answer.body is not None else "failed").inc()
        self.call_seconds.labels(model).observe(called.latency_ms / 1_000)

    def model_label(self, model: str) -> str:
        """A model's name as metrics and spans show it."""
        return self._models.of(model)

    def failure_label(self, failure: str) -> str:
        """What came of a failed call, as metrics and spans show it."""
        return self._failures.of(failure.replace(", ", ":").replace(" ", "_"))
