"""An endpoint on a port of this machine, over a cluster in memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from refrain.streams.edge.worker import run_edge
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Settings
from tests.streams.edge.service import WAIT_S, now_ms


class Serving:
    """An endpoint that serves in a thread."""

    def __init__(self, settings: Settings, cluster: MemoryCluster) -> None:
        self.metrics = Metrics()
        self.problem: Exception | None = None
        self.ready = threading.Event()
        """Set once it does its work: it listens before that."""
        self._settings = settings
        self._cluster = cluster
        self._stop = threading.Event()
        self._port: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.port = self._port.get(timeout=WAIT_S)
        assert self.problem is None, self.problem

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def value(self, metric: str, **labels: str) -> float:
        """A metric's value, 0 where it was never counted."""
        return self.metrics.registry.get_sample_value(metric, labels) or 0.0

    def stop(self) -> None:
        """Ask it to stop, as a signal does."""
        self._stop.set()

    def end(self) -> None:
        self.stop()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        assert self.problem is None, self.problem

    def _run(self) -> None:
        context = WorkerContext(
            self._settings, self._cluster, self.metrics, stop=self._stop.is_set, ready=self.ready.set, now_ms=now_ms
        )
        try:
            run_edge(context, self._port.put)
        except Exception as problem:  # noqa: BLE001 - raised again in the test's thread
            self.problem = problem
            self._port.put(0)


@contextmanager
def serving(settings: Settings, cluster: MemoryCluster) -> Iterator[Serving]:
    """An endpoint that serves until the block ends."""
    one = Serving(settings, cluster)
    try:
        yield one
    finally:
        one.end()
