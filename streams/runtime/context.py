"""The context of a worker: what every `run_*` of a processor is given, made once by whoever hosts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from refrain.streams.kafka.interface import Cluster
from refrain.streams.kafka.outages import Outages
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.progress import Progress
from refrain.streams.settings import Settings
from refrain.streams.traces.interface import OFF, Traces


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What one worker runs with: settings, cluster, metrics, clock, and how it is stopped.

    A processor works until `stop` says so, asked at every round of its main loop, and calls `ready` whenever it is
    able to work. `now_ms` is the time of day (milliseconds). On the registry of `metrics` it registers its own. It
    tells `outages` what it waits for while the cluster does not answer.
    """

    settings: Settings
    cluster: Cluster
    metrics: Metrics
    stop: Callable[[], bool]
    ready: Callable[[], None]
    now_ms: Callable[[], int]
    outages: Outages = field(default_factory=Outages)
    progress: Callable[[str, str], Progress] = lambda group, topic: Progress(None, 0)
    """The progress of a group's workers of this machine on a topic; by default nothing is noted."""
    trouble: Callable[[str], None] = lambda text: None
    """Told what keeps the worker from doing all of its work; empty when nothing does any more."""
    traces: Traces = OFF
    """Spans of requests; by default there are none."""
