"""Metrics that every worker has, for Prometheus. One object a worker, on a registry of its own.

The metrics of one processor stand in its folder, on the same registry: its /metrics has nothing of the others.
"""

from __future__ import annotations

import re
from collections import Counter as Counted
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from refrain.streams.errors import DISTRIBUTION
from refrain.streams.kafka.interface import Outgoing

# A time of creation beside each series doubles what is stored, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120)
"""Buckets of durations."""


LABEL_PATTERN = re.compile(r"[A-Za-z0-9._:/@+-]{1,64}")
OTHER = "other"
"""Label of what is not told by name."""


class LabelValues:
    """Values of a label that clients choose: the first `most` names by themselves, all else as `other`.

    So no text of a client becomes a label, and no client makes more series than that.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, value: str) -> str:
        """The value as a label."""
        if value in self._known:
            return value
        if len(self._known) >= self._most or not LABEL_PATTERN.fullmatch(value):
            return OTHER
        self._known.add(value)
        return value


class Metrics:
    """The metrics that all processors share: what goes in and out, and how fast."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        r = self.registry = registry or CollectorRegistry()
        self.taken = Counter("refrain_records_taken", "Records read", ["processor", "topic"], registry=r)
        self.sent = Counter("refrain_records_sent", "Records written", ["processor", "topic"], registry=r)
        self.refused = Counter(
            "refrain_refused", "Messages that could not be taken", ["processor", "reason"], registry=r
        )
        self.dropped = Counter(
            "refrain_dropped",
            "Messages that were seen before or came too late",
            ["processor", "reason"],
            registry=r,
        )
        self.unfit = Counter(
            "refrain_records_unfit",
            "Records that their topic did not take, by what took their place",
            ["processor", "topic", "became"],
            registry=r,
        )
        build = Gauge("refrain_build_info", "The version that runs, as a label", ["version"], registry=r)
        build.labels(build_version()).set(1)
        self.restarts = Gauge(
            "refrain_worker_restarts",
            "How often its supervisor has started the worker again",
            ["processor"],
            registry=r,
        )
        self.lost_spans = Counter(
            "refrain_spans_lost", "Spans that did not reach the collector", ["reason"], registry=r
        )
        self.lag = Gauge("refrain_lag", "Records not read yet", ["processor", "partition"], registry=r)
        self.batch = Histogram(
            "refrain_batch_seconds",
            "Time to work through a batch",
            ["processor"],
            buckets=SECONDS,
            registry=r,
        )

    def count_lost_spans(self, reason: str, spans: int) -> None:
        """Count spans that did not reach the collector. From any thread."""
        self.lost_spans.labels(reason).inc(spans)

    def count_sent(self, processor: str, records: Iterable[Outgoing]) -> None:
        """Count the records that a processor has produced, topic by topic."""
        for topic, number in Counted(record.topic for record in records).items():
            self.sent.labels(processor, topic).inc(number)


def build_version() -> str:
    """The version of this package; `unknown` where it runs from a folder that is not installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def request_seconds(metrics: Metrics) -> Histogram:
    """Register the histogram of how long requests take, for a processor that answers some."""
    return Histogram(
        "refrain_request_seconds",
        "Time from a question's place in the log to its response",
        ["outcome"],
        buckets=SECONDS,
        registry=metrics.registry,
    )


def policy_version(metrics: Metrics) -> Gauge:
    """Register the gauge of the policy version in use, for a processor that acts by one."""
    return Gauge("refrain_policy_version", "Version of the policy in use", registry=metrics.registry)
