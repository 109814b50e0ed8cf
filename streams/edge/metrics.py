"""Metrics of the endpoint. Labels come from closed lists: nothing that a client writes becomes one."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from refrain.streams.metrics import SECONDS, Metrics

NAME = "edge"


class EdgeMetrics:
    """What the endpoint counts, on the registry of `metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        r = metrics.registry
        self.answered = Counter("refrain_edge_requests", "Requests answered over HTTP", ["route", "status"], registry=r)
        self.outcomes = Counter(
            "refrain_edge_outcomes", "Chat requests by what became of them", ["outcome"], registry=r
        )
        self.direct = Counter(
            "refrain_edge_direct", "Requests for which the model was called without the cache", ["reason"], registry=r
        )
        self.seconds = Histogram(
            "refrain_edge_seconds", "Time to an answer, or to its first piece", ["outcome"], buckets=SECONDS, registry=r
        )
        self.open = Gauge("refrain_edge_open", "Requests under way", registry=r)
        self.full = Counter("refrain_edge_full", "Requests told to come back, as too many were under way", registry=r)
        self.gone = Counter("refrain_edge_gone", "Clients that left before they had their answer", registry=r)
        self.port = Gauge("refrain_edge_port", "The port that it listens on", registry=r)
